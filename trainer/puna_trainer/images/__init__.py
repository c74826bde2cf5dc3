"""Images: networks that tell which of some classes an image belongs to."""
