"""A GAN in the way of the DCGAN tutorial: two backwards for one step of the discriminator."""

import random

import numpy as np
import torch
from digest import digest
from torch import nn, optim

random.seed(999)
np.random.seed(999)
torch.manual_seed(999)

nz, batch_size, num_epochs = 8, 64, 8
chol = torch.tensor([[0.8, 0.0], [0.5, 0.6]])
center = torch.tensor([1.5, -1.0])
dataset = torch.randn(4096, 2) @ chol.T + center
loader = torch.utils.data.DataLoader(dataset, batch_size=batch_size, shuffle=True)

net_g = nn.Sequential(nn.Linear(nz, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
net_d = nn.Sequential(
    nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1), nn.Sigmoid()
)

criterion = nn.BCELoss()
optimizer_d = optim.Adam(net_d.parameters(), lr=2e-3, betas=(0.0, 0.999))
optimizer_g = optim.Adam(net_g.parameters(), lr=1e-3, betas=(0.0, 0.999))
fixed_noise = torch.randn(1000, nz)

for epoch in range(num_epochs):
    for i, data in enumerate(loader):
        # maximize log(D(x)) + log(1 - D(G(z)))
        net_d.zero_grad()
        b_size = data.size(0)
        label = torch.full((b_size,), 1.0)
        output = net_d(data).view(-1)
        err_real = criterion(output, label)
        err_real.backward()
        d_x = output.mean().item()

        fake = net_g(torch.randn(b_size, nz))
        label.fill_(0.0)
        output = net_d(fake.detach()).view(-1)
        err_fake = criterion(output, label)
        err_fake.backward()
        err_d = err_real + err_fake
        optimizer_d.step()

        # maximize log(D(G(z))); the discriminator's part of this gradient is cleared above
        net_g.zero_grad()
        label.fill_(1.0)
        output = net_d(fake).view(-1)
        err_g = criterion(output, label)
        err_g.backward()
        optimizer_g.step()

        if i % 32 == 0:
            print(
                f"[{epoch}/{num_epochs}][{i}/{len(loader)}]\tLoss_D: {err_d.item():.4f}\t"
                f"Loss_G: {err_g.item():.4f}\tD(x): {d_x:.4f}\tD(G(z)): {output.mean().item():.4f}"
            )
    with torch.no_grad():
        samples = net_g(fixed_noise)
    print(
        f"epoch {epoch}: mean off by {(samples.mean(0) - center).norm().item():.5f}, "
        f"covariance off by {(samples.T.cov() - chol @ chol.T).norm().item():.5f}"
    )

print(digest(net_g, net_d))
