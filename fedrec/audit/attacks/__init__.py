"""What an adversary makes of what it sees: the algorithms of published attacks, over arrays and models, without I/O."""
