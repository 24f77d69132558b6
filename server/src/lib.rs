//! The sync server: HTTP, WebSocket, file watching and fan-out.
