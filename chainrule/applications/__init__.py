"""Published networks for images: VGG-16, VGG-19, ResNet-18 and ResNet-50, with the weights trained on ImageNet.

    from chainrule import applications

    model = applications.VGG16()
    x = applications.vgg16.preprocess_input(photo[None])          # (1, 224, 224, 3), of 0 to 255
    applications.vgg16.decode_predictions(model.predict(x))

All take images prepared by the same `preprocess_input`. `weights=None` is the network without its weights,
`include_top=False` without its classifier.
"""
from chainrule.applications import imagenet, resnet, vgg16, vgg19
from chainrule.applications.resnet import ResNet18, ResNet50
from chainrule.applications.vgg16 import VGG16
from chainrule.applications.vgg19 import VGG19

__all__ = ["ResNet18", "ResNet50", "VGG16", "VGG19", "imagenet", "resnet", "vgg16", "vgg19"]
