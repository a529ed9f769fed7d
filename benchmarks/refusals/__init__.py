"""What one replica refuses although another could answer, and what a replica that can only refuse does to others.

`uneven`: unary calls with short deadlines to two replicas of which one has streams to serve; how many are refused, and
how many second attempts are answered in time. `black_hole`: one of two replicas is made slow, so that it refuses nearly
all; how many calls fail. Both with refusals kept back (`server.rpc.refusal_hold`), and not.
"""
