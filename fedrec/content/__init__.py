"""What an item is: its text, picture, sound, video and attributes, each turned into an array of features by an encoder.

Encoders are fitted on the catalogue only, which is public; a device uses the same fitted encoders, unchanged, on
notes and photos that stay with it.
"""
