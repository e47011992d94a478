"""Everything between the orchestration websocket and the rows."""
