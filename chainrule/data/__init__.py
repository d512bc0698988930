"""Data before it meets a network: checks, splits, images, sources to read from. Only numpy, never JAX."""
from chainrule.data.image_folder import ImageFiles, ImageFolder
from chainrule.data.images import read_image
from chainrule.data.source import Source

__all__ = ["ImageFiles", "ImageFolder", "Source", "read_image"]
