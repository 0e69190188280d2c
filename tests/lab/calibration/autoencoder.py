"""An autoencoder of images of digits: classes Encoder and Decoder, mean squared error, Adam, tensors in memory."""

from program import MARK, Fault, Template

SOURCE = """\
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader

torch.manual_seed(5)


class Encoder(nn.Module):
    def __init__(self, code):
        super().__init__()
        self.layer1 = nn.Linear(64, 48)
        self.norm = nn.BatchNorm1d(48)
        self.layer2 = nn.Linear(48, code)
        self.activation = nn.ReLU()

    def forward(self, images):
        hidden = self.activation(self.norm(self.layer1(images)))
        return self.layer2(hidden)


class Decoder(nn.Module):
    def __init__(self, code):
        super().__init__()
        self.layer1 = nn.Linear(code, 48)
        self.layer2 = nn.Linear(48, 64)
        self.activation = nn.ReLU()

    def forward(self, codes):
        hidden = self.activation(self.layer1(codes))
        return self.layer2(hidden)


def corrupted(images):
    return images


images = torch.from_numpy(load_digits().data).float()
images = images[torch.randperm(len(images))]
images = (images - images.mean()) / images.std()
train_images, test_images = images[:1437], images[1437:]
loader = DataLoader(train_images, batch_size=32, shuffle=True)

encoder, decoder = Encoder(16), Decoder(16)
parameters = list(encoder.parameters()) + list(decoder.parameters())
optimizer = torch.optim.Adam(parameters, lr=3e-3)
criterion = nn.MSELoss()

for epoch in range(12):
    encoder.train()
    decoder.train()
    summed = 0.0
    for batch in loader:
        output = decoder(encoder(corrupted(batch)))
        loss = criterion(output, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        summed += loss.item()
    encoder.eval()
    decoder.eval()
    with torch.no_grad():
        test_loss = criterion(decoder(encoder(test_images)), test_images).item()
    print("epoch", epoch, "loss", round(summed / len(loader), 4), "test", round(test_loss, 4))
"""

HIDDEN = "        hidden = self.activation(self.norm(self.layer1(images)))\n"
NORM = "        self.norm = nn.BatchNorm1d(48)\n"
PLAIN = ((HIDDEN, "        hidden = self.activation(self.layer1(images))\n"), (NORM, ""))
DHIDDEN = "        hidden = self.activation(self.layer1(codes))\n"
OUTPUT = "        hidden = self.activation(self.layer1(codes))\n        return self.layer2(hidden)\n"
LOSS = "        loss = criterion(output, batch)\n"
MARKED = LOSS.replace("\n", f"{MARK}\n")
FORWARD = "        output = decoder(encoder(corrupted(batch)))\n"
STEP = "        loss.backward()\n        optimizer.step()\n"
MADE = "encoder, decoder = Encoder(16), Decoder(16)\n"
BATCH = "batch_size=32"
RATE = "lr=3e-3"
CORRUPTED = "    return images\n"
SCALED = "images = (images - images.mean()) / images.std()\n"
EACH = "for layer in (encoder.layer1, encoder.layer2, decoder.layer1, decoder.layer2):\n"
PARAMETERS = "list(encoder.parameters()) + list(decoder.parameters())"

FAULTS = (
    Fault("output-range-excludes-targets", ((OUTPUT,
          f"{DHIDDEN}        return torch.sigmoid(self.layer2(hidden)){MARK}\n"), (LOSS, MARKED)),
          note="sigmoid, standardized images"),
    Fault("output-range-excludes-targets", ((SCALED, ""), (OUTPUT,
          f"{DHIDDEN}        return torch.tanh(self.layer2(hidden)){MARK}\n"), (LOSS, MARKED)),
          accept=("input-not-normalized", "saturated-activations"), note="tanh, pixels from 0 to 16"),
    Fault("parameters-not-in-optimizer", ((PARAMETERS, f"list(encoder.parameters()){MARK}"),),
          note="the decoder is left out"),
    Fault("gradient-path-cut", ((FORWARD,
          f"        output = decoder(torch.tensor(encoder(corrupted(batch)).tolist())){MARK}\n"),),
          note="codes through a list"),
    Fault("gradient-path-cut", ((FORWARD,
          f"        with torch.no_grad():\n            codes = encoder(corrupted(batch)){MARK}\n"
          "        output = decoder(codes)\n"),), note="the encoder under no_grad"),
    Fault("inplace-modification", ((HIDDEN, "        hidden = torch.exp(-self.norm(self.layer1(images)) ** 2)\n"
          f"        hidden -= 0.5{MARK}\n"),), note="-= on the output of exp"),
    Fault("inplace-modification", ((STEP, "        loss.backward(retain_graph=True)\n        optimizer.step()\n"
          f"        loss.backward(){MARK}\n"),), note="backward again after the step"),
    Fault("normalization-on-tiny-batch", ((BATCH, "batch_size=3"), ("range(12)", "range(3)")),
          accept=("batch-size-too-small",), note="batches of 3"),
    Fault("statistics-updated-by-evaluation", (("    encoder.eval()\n    decoder.eval()\n", ""),
          ("        test_loss = criterion(decoder(encoder(test_images)), test_images).item()\n",
          f"        test_loss = criterion(decoder(encoder(test_images)), test_images).item(){MARK}\n")),
          accept=("evaluated-in-training-mode",)),
    Fault("trained-in-eval-mode", (("    encoder.train()\n    decoder.train()\n", ""), (FORWARD,
          FORWARD.replace("\n", f"{MARK}\n"))), note="from the second epoch on"),
    Fault("dead-units", ((MADE, MADE + "nn.init.constant_(decoder.layer1.bias, -20.0)\n"), *PLAIN),
          accept=("badly-scaled-initialization", "loss-plateau"), note="bias of -20"),
    Fault("learning-rate-too-high", ((RATE, "lr=0.5"), *PLAIN), accept=("dead-units",),
          note="x170: kills the units"),
    Fault("saturated-activations", ((MADE, MADE + "nn.init.normal_(decoder.layer1.weight, std=60.0)\n"), (DHIDDEN,
          DHIDDEN.replace("self.activation", "torch.tanh"))), accept=("badly-scaled-initialization",),
          note="tanh, weights of deviation 60"),
    Fault("badly-scaled-initialization", ((MADE, MADE + EACH + "    nn.init.normal_(layer.weight, std=1.0)\n"),
          *PLAIN, (RATE, "lr=1e-3")), accept=("learning-rate-too-low", "exploding-gradients"), note="deviation 1"),
    Fault("symmetric-initialization", ((MADE, MADE + EACH
          + "    nn.init.constant_(layer.weight, 0.1)\n    nn.init.zeros_(layer.bias)\n"), *PLAIN),
          accept=("loss-plateau",)),
    Fault("symmetric-initialization", ((MADE, MADE + EACH
          + "    nn.init.zeros_(layer.weight)\n    nn.init.zeros_(layer.bias)\n"), *PLAIN), accept=("loss-plateau",
          "dead-units"), note="zeros: nothing can change"),
    Fault("model-too-small", (("Encoder(16), Decoder(16)", "Encoder(1), Decoder(1)"),), accept=("underfitting",),
          note="a code of 1 number"),
    Fault("underfitting", (("Encoder(16), Decoder(16)", "Encoder(2), Decoder(2)"), ("nn.Linear(64, 48)",
          "nn.Linear(64, 4)"), (NORM, "        self.norm = nn.BatchNorm1d(4)\n"), ("nn.Linear(48, code)",
          "nn.Linear(4, code)"), ("nn.Linear(code, 48)", "nn.Linear(code, 4)"), ("nn.Linear(48, 64)",
          "nn.Linear(4, 64)")), accept=("model-too-small",), note="layers of 4, code of 2"),
    Fault("batch-size-too-small", ((BATCH, "batch_size=1"), *PLAIN, ("torch.optim.Adam(parameters, lr=3e-3)",
          "torch.optim.SGD(parameters, lr=0.1)"), ("range(12)", "range(3)")), accept=("learning-rate-too-high",
          "loss-oscillates"), note="1, SGD at 0.1"),
    Fault("augmentation-too-strong", ((CORRUPTED, "    noisy = images + 3 * torch.randn_like(images)\n"
          "    return noisy * (torch.rand_like(images) < 0.2)\n"),), accept=("underfitting", "distribution-shift"),
          note="noise of 3 deviations, 80 % of the pixels dropped"),
    Fault("device-mismatch", ((FORWARD,
          f"        output = decoder(encoder(corrupted(batch.to('meta')))){MARK}\n"),),
          note="the batch is on another device"),
    Fault("loss-plateau", ((MADE, MADE + "for p in decoder.layer2.parameters():\n    p.data.zero_()\n"
          "    p.register_hook(lambda g: g * 0)\n"),), accept=("parameters-frozen", "input-ignored",
          "optimizer-never-steps", "learning-rate-too-low", "symmetric-initialization"),
          note="a hook that was forgotten zeroes the gradient of the output layer"),
    Fault("learning-rate-too-low", ((RATE, "lr=1e-5"),), accept=("slow-convergence",), note="/300"),
    Fault("slow-convergence", ((RATE, "lr=2e-4"), ("range(12)", "range(5)")), accept=("learning-rate-too-low",
          "underfitting"), note="stopped while it falls"),
    Fault("no-nonlinearity", ((HIDDEN, f"        hidden = self.norm(self.layer1(images)){MARK}\n"), (DHIDDEN,
          f"        hidden = self.layer1(codes){MARK}\n"))),
)  # fmt: skip

VARIANTS = (
    ("seed", (("torch.manual_seed(5)", "torch.manual_seed(55)"),)),
    ("plain", PLAIN),
    ("denoising", ((CORRUPTED, "    return images + 0.2 * torch.randn_like(images)\n"),)),
    ("adamw-batch-64", ((BATCH, "batch_size=64"), ("torch.optim.Adam(parameters, lr=3e-3)",
     "torch.optim.AdamW(parameters, lr=5e-3)"), ("range(12)", "range(18)"))),
    ("l1", (("nn.MSELoss()", "nn.L1Loss()"),)),
    ("elu-dropout", (("        self.activation = nn.ReLU()\n\n    def forward(self, images)",
     "        self.activation = nn.Sequential(nn.ELU(), nn.Dropout(0.05))\n\n" "    def forward(self, images)"),)),
)  # fmt: skip

TEMPLATES = [Template("autoencoder", SOURCE, FAULTS, VARIANTS)]
