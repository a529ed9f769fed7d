"""What an engine's threads are worth while another process keeps one of the machine's cores busy (docs/adr/0008)."""
