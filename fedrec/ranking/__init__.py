"""Step 9: ranking on the device, without a network: scores, the top of the list, why, and how good it is."""
