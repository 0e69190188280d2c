"""A variational autoencoder of images of digits: the loss is a function of its own, summed over the batch."""

from program import MARK, Fault, Template

SOURCE = """\
import torch
import torch.utils.data
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.nn import functional as F


class VAE(nn.Module):
    def __init__(self, latent=6):
        super(VAE, self).__init__()
        self.fc1 = nn.Linear(64, 64)
        self.fc21 = nn.Linear(64, latent)
        self.fc22 = nn.Linear(64, latent)
        self.fc3 = nn.Linear(latent, 64)
        self.fc4 = nn.Linear(64, 64)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        eps = torch.randn_like(std)
        return mu + eps * std

    def decode(self, z):
        h3 = F.relu(self.fc3(z))
        return torch.sigmoid(self.fc4(h3))

    def forward(self, x):
        mu, logvar = self.encode(x)
        z = self.reparameterize(mu, logvar)
        return self.decode(z), mu, logvar


def loss_function(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x, reduction="sum")
    KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return (BCE + KLD) / len(x)


def train(epoch):
    model.train()
    train_loss = 0
    for data in train_loader:
        optimizer.zero_grad()
        recon_batch, mu, logvar = model(data)
        loss = loss_function(recon_batch, data, mu, logvar)
        loss.backward()
        train_loss += loss.item()
        optimizer.step()
    return train_loss / len(train_loader)


def test(epoch):
    model.eval()
    test_loss = 0
    with torch.no_grad():
        for data in test_loader:
            recon_batch, mu, logvar = model(data)
            test_loss += loss_function(recon_batch, data, mu, logvar).item()
    return test_loss / len(test_loader)


torch.manual_seed(8)
images = torch.from_numpy(load_digits().data).float()
images = images / 16
images = images[torch.randperm(len(images))]
train_images, test_images = images[:1400], images[1400:1797]
train_loader = torch.utils.data.DataLoader(train_images, batch_size=40, shuffle=True)
test_loader = torch.utils.data.DataLoader(test_images, batch_size=100)
model = VAE()
optimizer = optim.Adam(model.parameters(), lr=3e-3)
for epoch in range(1, 16):
    trained = train(epoch)
    tested = test(epoch)
    print("====> Epoch: {} average loss: {:.4f} test: {:.4f}".format(epoch, trained, tested))
"""

DECODED = "        return torch.sigmoid(self.fc4(h3))\n"
BCE = '    BCE = F.binary_cross_entropy(recon_x, x, reduction="sum")\n'
MARKED = BCE.replace("\n", f"{MARK}\n")
KLD = "    KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())\n"
ADAM = "optim.Adam(model.parameters(), lr=3e-3)"
CLEAR = "        optimizer.zero_grad()\n"
BACKWARD = "        loss.backward()\n"
OPTIMIZER = f"optimizer = {ADAM}\n"
MODEL = "model = VAE()\n"
SUMMED = "        train_loss += loss.item()\n"
SCALED = "images = images / 16\n"
RETURN = "    return (BCE + KLD) / len(x)\n"
PARTS = "train_images, test_images = images[:1400], images[1400:1797]\n"

FAULTS = (
    Fault("bce-input-not-probability", ((DECODED, f"        return torch.relu(self.fc4(h3)){MARK}\n"), (BCE,
          MARKED)), note="ReLU: PyTorch stops when it exceeds 1"),
    Fault("bce-input-not-probability", ((DECODED, f"        return torch.clamp(self.fc4(h3), 0, 1){MARK}\n"), (BCE,
          MARKED)), note="clamped"),
    Fault("sigmoid-before-bce-with-logits", ((BCE,
          f'    BCE = F.binary_cross_entropy_with_logits(recon_x, x, reduction="sum"){MARK}\n'), (DECODED,
          DECODED.replace("\n", f"{MARK}\n")))),
    Fault("output-range-excludes-targets", ((SCALED, "images = (images - images.mean()) / images.std()\n"), (BCE,
          f'    BCE = F.mse_loss(recon_x, x, reduction="sum"){MARK}\n'), (DECODED, DECODED.replace("\n",
          f"{MARK}\n"))), note="sigmoid, standardized images"),
    Fault("loss-sign-flipped", ((KLD,
          f"    KLD = 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()){MARK}\n"),), accept=("loss-not-finite",
          "exploding-gradients"), note="only the divergence"),
    Fault("loss-not-finite", ((BCE,
          f"    BCE = -torch.sum(x * torch.log(recon_x) + (1 - x) * torch.log(1 - recon_x)){MARK}\n"), (DECODED,
          "        return torch.sigmoid(60 * self.fc4(h3))\n")), accept=("saturated-activations",),
          note="log of 0 by hand"),
    Fault("loss-not-finite", (("        return mu + eps * std\n",
          f"        return mu + eps * torch.sqrt(logvar){MARK}\n"),
          (BCE, '    BCE = F.mse_loss(recon_x, x, reduction="sum")\n')), note="root of a negative number"),
    Fault("optimizer-never-steps", (("        optimizer.step()\n", ""), (BACKWARD, BACKWARD.replace("\n",
          f"{MARK}\n"))), note="forgotten"),
    Fault("optimizer-never-steps", ((OPTIMIZER, f"optimizer = optim.Adam(VAE().parameters(), lr=3e-3){MARK}\n"),
          (BACKWARD, BACKWARD.replace("\n", f"{MARK}\n"))), accept=("parameters-not-in-optimizer",),
          note="it holds another model"),
    Fault("parameters-not-in-optimizer", ((OPTIMIZER, OPTIMIZER + "import copy\nmodel = copy.deepcopy(model)" + MARK
          + "\n"),), accept=("optimizer-never-steps",), note="the model is copied after the optimizer was made"),
    Fault("gradients-not-cleared", ((CLEAR, ""), (BACKWARD, BACKWARD.replace("\n", f"{MARK}\n")),
          ("        optimizer.step()\n", f"        optimizer.step(){MARK}\n"))),
    Fault("loss-detached", (("        loss = loss_function(recon_batch, data, mu, logvar)\n",
          "        loss = torch.autograd.Variable(loss_function(recon_batch, data, mu, logvar).data, "
          f"requires_grad=True){MARK}\n"),), note="Variable(loss.data)"),
    Fault("loss-detached", (("        recon_batch, mu, logvar = model(data)\n        loss =",
          f"        with torch.no_grad():\n            recon_batch, mu, logvar = model(data){MARK}\n"
          "        loss ="), (BACKWARD, f"        loss.requires_grad_(){MARK}\n        loss.backward(){MARK}\n")),
          note="no_grad around the model"),
    Fault("graph-retained", ((SUMMED, f"        train_loss += loss{MARK}\n"),)),
    Fault("dtype-mismatch", (("images = torch.from_numpy(load_digits().data).float()\n",
          "images = torch.from_numpy(load_digits().data)\n"), ("        h1 = F.relu(self.fc1(x))\n",
          f"        h1 = F.relu(self.fc1(x)){MARK}\n"))),
    Fault("learning-rate-too-high", ((ADAM, ADAM.replace("3e-3", "0.3")),), accept=("dead-units",
          "exploding-gradients", "loss-not-finite"), note="x100"),
    Fault("learning-rate-too-high", ((ADAM, "optim.SGD(model.parameters(), lr=1.5)"),), accept=("loss-not-finite",
          "exploding-gradients", "dead-units"), note="SGD, diverges"),
    Fault("input-not-normalized", ((SCALED, "images = images * 16\n"), (BCE,
          '    BCE = F.mse_loss(recon_x, x, reduction="sum")\n'), (DECODED, "        return self.fc4(h3)\n"),
          (ADAM, "optim.SGD(model.parameters(), lr=1e-4)")), accept=("loss-not-finite", "exploding-gradients",
          "learning-rate-too-high", "dead-units"), note="pixels from 0 to 256"),
    Fault("unused-parameters", (("        self.fc4 = nn.Linear(64, 64)\n",
          "        self.fc4 = nn.Linear(64, 64)\n        self.fc5 = nn.Linear(64, 64)\n"),)),
    Fault("train-validation-overlap", ((PARTS, "train_images, test_images = images[:1400], images[1100:1500]\n"),)),
    Fault("weight-decay-too-strong", ((ADAM, ADAM.replace("3e-3", "3e-3, weight_decay=10.0")),),
          accept=("underfitting", "loss-plateau", "dead-units"), note="10"),
    Fault("exploding-gradients", ((MODEL, MODEL + "nn.init.constant_(model.fc22.bias, 12.0)\n"), (ADAM,
          "optim.SGD(model.parameters(), lr=1e-4)")), accept=("loss-not-finite", "badly-scaled-initialization",
          "learning-rate-too-high"), note="log variance starts at 12"),
)  # fmt: skip

VARIANTS = (
    ("seed", (("torch.manual_seed(8)", "torch.manual_seed(18)"),)),
    ("wide-latent", (("latent=6", "latent=10"),)),
    ("batch-80", (("batch_size=40", "batch_size=80"), ("lr=3e-3", "lr=5e-3"), ("range(1, 16)", "range(1, 25)"))),
    ("squared-error", ((BCE, '    BCE = 10 * F.mse_loss(recon_x, x, reduction="sum")\n'),)),
    ("logits", ((DECODED, "        return self.fc4(h3)\n"), (BCE,
     '    BCE = F.binary_cross_entropy_with_logits(recon_x, x, reduction="sum")\n'))),
    ("tanh-rmsprop", (("F.relu(self.fc1(x))", "torch.tanh(self.fc1(x))"), ("F.relu(self.fc3(z))",
     "torch.tanh(self.fc3(z))"), (ADAM, "optim.RMSprop(model.parameters(), lr=1e-3)"))),
)  # fmt: skip

TEMPLATES = [Template("vae", SOURCE, FAULTS, VARIANTS)]
