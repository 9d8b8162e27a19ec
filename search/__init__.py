"""ovnas, last room: what is worth building."""
