"""The RPC edge: protobuf messages become domain values and back; the seam before Ray Serve's accounting."""
