"""WebDAV (RFC 4918): XML elements, server and client, side by side."""
