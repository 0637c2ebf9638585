"""What a server and a device hand each other before they know each other: an invite, a request, and names of files."""
