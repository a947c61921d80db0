"""Generated from protos/: messages between processes (``control``), of the command line, and snapshots."""
