"""Entanglement repeaters: states, memories, swapping, purification, chains.

Empty until its issue: the room is drawn so that no wall has to move for it.
"""
