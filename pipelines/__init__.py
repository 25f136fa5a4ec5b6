"""The pipelines, one file each. `core` holds what they share."""

PIPELINES = {  # name -> (module with `build`, `data`, `defaults` and `shown`, help line)
    "cyclegan": ("quagga.pipelines.cyclegan", "two folders of pictures, unpaired: horses <-> zebras"),
    "cut": ("quagga.pipelines.cut", "two folders of pictures, unpaired, one way: horses -> zebras"),
    "pix2pix": ("quagga.pipelines.pix2pix", "pairs of pictures: edges -> photos, label maps -> facades"),
    "conditional": (
        "quagga.pipelines.conditional",
        "pictures with classes, attributes, captions -> new ones as asked",
    ),
    "stargan": ("quagga.pipelines.stargan", "pictures with classes or attributes -> the same, with others"),
    "gan": ("quagga.pipelines.gan", "one folder of pictures -> new ones like them"),
    "progressive": ("quagga.pipelines.progressive", "one folder of pictures -> new ones like them, grown step by step"),
    "autoencoder": ("quagga.pipelines.autoencoder", "one folder of pictures -> a few numbers each, and back"),
    "vae": ("quagga.pipelines.vae", "one folder of pictures -> new ones like them, and a code of each"),
    "inpainting": ("quagga.pipelines.inpainting", "one folder of pictures -> what is missing in one, filled in"),
    "classifier": ("quagga.pipelines.classifier", "pictures with classes or attributes -> which a new one has"),
}
