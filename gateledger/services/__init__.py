"""services.yaml: one's own services, their listeners and who may call them, in the words of their owner."""
