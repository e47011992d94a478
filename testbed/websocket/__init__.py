"""The orchestration websocket, from its frames to the rows."""
