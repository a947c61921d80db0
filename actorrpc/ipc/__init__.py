"""Between the processes of one server: messages with file descriptors on stream sockets."""
