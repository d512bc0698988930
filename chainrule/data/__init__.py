"""Data before it meets a network: checks, splits, images, text, series, sources to read from. Only numpy, never JAX."""
from chainrule.configuration import Registry
from chainrule.data.array_files import ArrayFiles
from chainrule.data.csv_files import CSVFiles
from chainrule.data.hugging_face import HuggingFaceDataset
from chainrule.data.image_folder import ImageFiles, ImageFolder
from chainrule.data.images import read_image
from chainrule.data.iterables import IterableSource
from chainrule.data.parquet_files import ParquetFiles
from chainrule.data.preparation import Preparation
from chainrule.data.scaling import Scaling
from chainrule.data.source import Source
from chainrule.data.torch_data import TorchDataset
from chainrule.data.vocabulary import BytePairVocabulary, CharacterVocabulary, WordVocabulary

# What a model's file may name as the preparation of its data.
registry = Registry("preparation", [BytePairVocabulary, CharacterVocabulary, Scaling, WordVocabulary])

__all__ = [
    "ArrayFiles", "CSVFiles", "HuggingFaceDataset", "ImageFiles", "ImageFolder", "IterableSource", "ParquetFiles",
    "Preparation", "Source", "TorchDataset", "read_image",
]
