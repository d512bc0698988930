"""Text: vocabularies, windows to train on, and writing by a trained model."""
from chainrule.data.text import TextData, TextWindows, byte_pairs, characters, read, windows, words
from chainrule.data.vocabulary import BytePairVocabulary, CharacterVocabulary, Vocabulary, WordVocabulary
from chainrule.text.generation import generate, stream

__all__ = [
    "BytePairVocabulary", "CharacterVocabulary", "TextData", "TextWindows", "Vocabulary", "WordVocabulary",
    "byte_pairs", "characters", "generate", "read", "stream", "windows",
    "words",
]
