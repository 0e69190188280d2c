"""A graph convolution by hand: one graph, every step sees all of it, few nodes carry labels."""

import random

import numpy as np
import torch
import torch.nn.functional as F
from digest import digest
from torch import nn

random.seed(1)
np.random.seed(1)
torch.manual_seed(1)

N_NODES, N_GROUPS, N_FEATURES = 300, 3, 12


def make_graph():
    group = torch.randint(N_GROUPS, (N_NODES,))
    same = group[:, None] == group[None, :]
    edge = torch.rand(N_NODES, N_NODES) < torch.where(same, 0.05, 0.008)
    edge = torch.triu(edge, diagonal=1)
    adjacency = (edge | edge.T).float()
    centres = torch.randn(N_GROUPS, N_FEATURES)
    features = 0.8 * centres[group] + torch.randn(N_NODES, N_FEATURES)
    return adjacency, features, group


def normalise(adjacency):
    """D^-1/2 (A + I) D^-1/2 (Kipf and Welling, 2017)."""
    with_self = adjacency + torch.eye(len(adjacency))
    d = with_self.sum(1).rsqrt()
    return d[:, None] * with_self * d[None, :]


class GraphConv(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_in, n_out))
        self.bias = nn.Parameter(torch.zeros(n_out))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x, a_hat):
        return a_hat @ (x @ self.weight) + self.bias


class GCN(nn.Module):
    def __init__(self):
        super().__init__()
        self.gc1 = GraphConv(N_FEATURES, 16)
        self.gc2 = GraphConv(16, N_GROUPS)

    def forward(self, x, a_hat):
        x = F.relu(self.gc1(x, a_hat))
        x = F.dropout(x, 0.3, training=self.training)
        return self.gc2(x, a_hat)


adjacency, features, group = make_graph()
a_hat = normalise(adjacency)
shuffled = torch.randperm(N_NODES)
train_nodes, val_nodes, test_nodes = shuffled[:90], shuffled[90:190], shuffled[190:]

model = GCN()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-3)

for epoch in range(1, 101):
    model.train()
    optimizer.zero_grad()
    out = model(features, a_hat)
    loss = F.cross_entropy(out[train_nodes], group[train_nodes])
    loss.backward()
    optimizer.step()
    if epoch % 10 == 0:
        model.eval()
        with torch.no_grad():
            out = model(features, a_hat)
            val_loss = F.cross_entropy(out[val_nodes], group[val_nodes])
            acc = (out[val_nodes].argmax(1) == group[val_nodes]).float().mean()
        print(f"Epoch: {epoch:03d} loss_train: {loss:.6f} loss_val: {val_loss:.6f} acc_val: {acc:.4f}")

acc = (out[test_nodes].argmax(1) == group[test_nodes]).float().mean()
print(f"acc_test: {acc:.4f}")
print(digest(model, out))
