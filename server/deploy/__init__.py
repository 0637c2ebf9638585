"""A real deployment on one machine: a SuperLink, SuperNodes with keys and certificates, and devices of their own."""
