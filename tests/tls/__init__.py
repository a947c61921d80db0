"""The record layer, against a client that shares no code with it, against OpenSSL, and against tlslite-ng."""
