"""What turns the stages into a product: engine, storage, worker, settings and the doors (HTTP, MCP, command line)."""
