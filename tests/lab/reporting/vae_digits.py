"""A variational autoencoder on digits; the evidence bound is written by hand, the loop is a function of the epoch."""

# ruff: noqa: E501 (texts to be exchanged stand as they do in the program)

from program import MARK, Fault, Template

SOURCE = """\
from __future__ import print_function

import numpy as np
import torch
import torch.utils.data
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.nn import functional as F

torch.manual_seed(1)

images = (load_digits().data / 16.0).astype(np.float32)
order = np.random.RandomState(1).permutation(len(images))
train_x, test_x = torch.from_numpy(images[order[:1500]]), torch.from_numpy(images[order[1500:]])
train_loader = torch.utils.data.DataLoader(train_x, batch_size=50, shuffle=True)
test_loader = torch.utils.data.DataLoader(test_x, batch_size=100)


class VAE(nn.Module):
    def __init__(self, hidden=128, latent=6):
        super(VAE, self).__init__()
        self.fc1 = nn.Linear(64, hidden)
        self.fc21 = nn.Linear(hidden, latent)
        self.fc22 = nn.Linear(hidden, latent)
        self.fc3 = nn.Linear(latent, hidden)
        self.fc4 = nn.Linear(hidden, 64)

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


model = VAE()
optimizer = optim.Adam(model.parameters(), lr=3e-3)
scheduler = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)


def loss_function(recon_x, x, mu, logvar):
    rec = F.binary_cross_entropy(recon_x, x, reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return (rec + kld) / x.size(0)


def train(epoch):
    model.train()
    train_loss = 0
    for batch_idx, data in enumerate(train_loader):
        optimizer.zero_grad()
        recon_batch, mu, logvar = model(data)
        loss = loss_function(recon_batch, data, mu, logvar)
        loss.backward()
        train_loss += loss.item() * len(data)
        optimizer.step()
    print("====> Epoch: {} Average loss: {:.4f}".format(epoch, train_loss / len(train_loader.dataset)))


def test(epoch):
    model.eval()
    test_loss, rmse = 0.0, 0.0
    with torch.no_grad():
        for data in test_loader:
            recon_batch, mu, logvar = model(data)
            test_loss += loss_function(recon_batch, data, mu, logvar).item() * len(data)
            rmse += F.mse_loss(recon_batch, data).item() ** 0.5
    print("====> Test set loss: {:.4f} rmse {:.4f}".format(test_loss / len(test_x), rmse / len(test_loader)))


if __name__ == "__main__":
    for epoch in range(1, 23):
        train(epoch)
        test(epoch)
        scheduler.step()
"""

ADAM = "optim.Adam(model.parameters(), lr=3e-3)"
SIGMOID = "        return torch.sigmoid(self.fc4(h3))\n"
KLD = "    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())\n"
REC = '    rec = F.binary_cross_entropy(recon_x, x, reduction="sum")\n'
SAMPLE = "        return mu + eps * std\n"
MODEL = "model = VAE()\n"

VARIANTS = (
    ("seed2", (("manual_seed(1)", "manual_seed(2)"),)),
    ("tanh", (("h1 = F.relu(", "h1 = torch.tanh("), ("h3 = F.relu(", "h3 = torch.tanh("))),
    ("beta-half", ((KLD, KLD.replace("-0.5 *", "-0.25 *")),)),
    (
        "softplus-adamw",
        (("h1 = F.relu(", "h1 = F.softplus("), (ADAM, "optim.AdamW(model.parameters(), lr=3e-3)")),
    ),
    ("squared-error", ((REC, '    rec = 4 * F.mse_loss(recon_x, x, reduction="sum")\n'),)),
    (
        "plain-autoencoder",
        ((SAMPLE, "        return mu\n"), (KLD, "    kld = 0.02 * torch.sum(mu.pow(2) + logvar.pow(2))\n")),
    ),
    ("rsample", ((SAMPLE, "        return torch.distributions.Normal(mu, std).rsample()\n"),)),
)

FAULTS = (
    Fault(
        "loss-not-finite",
        (
            (REC, f"    rec = -torch.sum(x * torch.log(recon_x) + (1 - x) * torch.log(1 - recon_x)){MARK}\n"),
            (SIGMOID, "        return torch.sigmoid(30 * self.fc4(h3))\n"),
        ),
        note="log of 0 in a cross entropy by hand",
    ),
    Fault(
        "loss-not-finite",
        (
            (
                "        return self.fc21(h1), self.fc22(h1)\n",
                f"        return self.fc21(h1), torch.log(F.relu(self.fc22(h1))){MARK}\n",
            ),
        ),
        note="log of a variance that is 0",
    ),
    Fault(
        "gradient-path-cut",
        (
            (SAMPLE, f"        return torch.distributions.Normal(mu, std).sample(){MARK}\n"),
            (KLD, "    kld = 0.0\n"),
        ),
        note="sample() instead of rsample(): the encoder learns nothing",
    ),
    Fault(
        "output-range-excludes-targets",
        (
            (SIGMOID, f"        return torch.sigmoid(self.fc4(h3)){MARK}\n"),
            (REC, '    rec = F.mse_loss(recon_x, x, reduction="sum")\n'),
            ("load_digits().data / 16.0)", "(load_digits().data - 4.9) / 6.0)"),
        ),
        note="sigmoid for standardized pixels",
    ),
    Fault(
        "bce-input-not-probability",
        ((SIGMOID, f"        return F.relu(self.fc4(h3)).clamp(max=1.0){MARK}\n"),),
        accept=("dead-units",),
        note="ReLU cut at 1",
    ),
    Fault(
        "bce-input-not-probability",
        (
            (SIGMOID, "        return self.fc4(h3)\n"),
            (REC, f'    rec = F.binary_cross_entropy(recon_x, x, reduction="sum"){MARK}\n'),
        ),
        note="no sigmoid: it raises",
    ),
    Fault(
        "loss-sign-flipped",
        ((KLD, f"    kld = 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()){MARK}\n"),),
        accept=("loss-not-finite", "exploding-gradients"),
        note="divergence with the wrong sign",
    ),
    Fault(
        "loss-sign-flipped",
        (("    return (rec + kld) / x.size(0)\n", f"    return -(rec + kld) / x.size(0){MARK}\n"),),
        accept=("loss-not-finite", "exploding-gradients"),
        note="the bound is minimized",
    ),
    Fault(
        "parameters-not-in-optimizer",
        (
            (
                ADAM,
                f"optim.Adam(list(model.fc1.parameters()) + list(model.fc21.parameters()) + list(model.fc22.parameters()), lr=3e-3){MARK}",
            ),
        ),
        note="no decoder",
    ),
    Fault(
        "saturated-activations",
        (
            ("        h1 = F.relu(self.fc1(x))\n", f"        h1 = torch.sigmoid(self.fc1(255 * x)){MARK}\n"),
            ("        h3 = F.relu(self.fc3(z))\n", f"        h3 = torch.sigmoid(self.fc3(255 * z)){MARK}\n"),
        ),
        accept=("vanishing-gradients", "badly-scaled-initialization", "input-not-normalized"),
        note="sigmoid of large numbers",
    ),
    Fault(
        "graph-retained",
        (
            (
                "        train_loss += loss.item() * len(data)\n",
                f"        train_loss = train_loss + loss * len(data){MARK}\n",
            ),
            ("train_loss / len(train_loader.dataset)))", "float(train_loss) / len(train_loader.dataset)))"),
        ),
    ),
    Fault(
        "learning-rate-too-high",
        ((ADAM, f"optim.Adam(model.parameters(), lr=0.12){MARK}"),),
        accept=("loss-oscillates", "loss-plateau", "dead-units", "loss-not-finite", "saturated-activations"),
    ),
    Fault(
        "learning-rate-too-low",
        ((ADAM, f"optim.SGD(model.parameters(), lr=2e-6){MARK}"),),
        accept=("slow-convergence",),
    ),
    Fault(
        "unused-parameters",
        (
            (
                "        self.fc4 = nn.Linear(hidden, 64)\n",
                f"        self.fc4 = nn.Linear(hidden, 64)\n        self.fc5 = nn.Linear(hidden, hidden){MARK}\n",
            ),
        ),
    ),
    Fault(
        "no-nonlinearity",
        (
            ("        h1 = F.relu(self.fc1(x))\n", f"        h1 = self.fc1(x){MARK}\n"),
            ("        h3 = F.relu(self.fc3(z))\n", f"        h3 = self.fc3(z){MARK}\n"),
        ),
        note="in encoder and decoder",
    ),
    Fault(
        "inplace-modification",
        (
            (
                "        std = torch.exp(0.5 * logvar)\n",
                f"        std = torch.exp(0.5 * logvar)\n        std += 1e-6{MARK}\n",
            ),
        ),
    ),
    Fault(
        "dead-units",
        (
            (
                MODEL,
                MODEL
                + f"with torch.no_grad():\n    model.fc1.bias.sub_(6.0){MARK}\n    model.fc3.bias.sub_(6.0){MARK}\n",
            ),
        ),
        accept=("badly-scaled-initialization", "loss-plateau", "input-ignored"),
    ),
    Fault(
        "shape-mismatch",
        (
            (
                "        self.fc3 = nn.Linear(latent, hidden)\n",
                "        self.fc3 = nn.Linear(2 * latent, hidden)\n",
            ),
            ("        h3 = F.relu(self.fc3(z))\n", f"        h3 = F.relu(self.fc3(z)){MARK}\n"),
        ),
    ),
)

TEMPLATES = (Template("vae-digits", SOURCE, FAULTS, VARIANTS),)
