"""REINFORCE on a cart and pole: what is minimized need not fall, the length of the episodes grows."""

import random

import numpy as np
import torch
from digest import digest
from torch import nn
from torch.distributions import Categorical

GAMMA = 0.98
ENVS = 16
LIMIT = 100


class CartPoles:
    """Many cart poles side by side, with the equations of Barto, Sutton and Anderson (1983)."""

    def __init__(self, n):
        self.n = n

    def reset(self):
        self.state = np.random.uniform(-0.05, 0.05, size=(self.n, 4))
        return self.state.astype(np.float32)

    def step(self, action):
        x, v, th, w = self.state.T
        force = np.where(action == 1, 10.0, -10.0)
        temp = (force + 0.05 * w**2 * np.sin(th)) / 1.1
        th_acc = (9.8 * np.sin(th) - np.cos(th) * temp) / (0.5 * (4 / 3 - 0.1 * np.cos(th) ** 2 / 1.1))
        x_acc = temp - 0.05 * th_acc * np.cos(th) / 1.1
        self.state = np.stack([x + 0.02 * v, v + 0.02 * x_acc, th + 0.02 * w, w + 0.02 * th_acc], axis=1)
        fallen = (np.abs(self.state[:, 0]) > 2.4) | (np.abs(self.state[:, 2]) > 0.2095)
        return self.state.astype(np.float32), fallen


def play(env, policy):
    """Log-probabilities and which steps counted, both [T, N]."""
    obs, alive = env.reset(), np.ones(env.n, dtype=bool)
    log_probs, counted = [], []
    while alive.any() and len(counted) < LIMIT:
        dist = Categorical(logits=policy(torch.from_numpy(obs)))
        action = dist.sample()
        log_probs.append(dist.log_prob(action))
        counted.append(alive.copy())
        obs, fallen = env.step(action.numpy())
        alive &= ~fallen
    return torch.stack(log_probs), torch.from_numpy(np.stack(counted)).float()


def returns(rewards):
    out, running = torch.zeros_like(rewards), torch.zeros(rewards.shape[1])
    for t in reversed(range(len(rewards))):
        running = rewards[t] + GAMMA * running
        out[t] = running
    return out


np.random.seed(1)
random.seed(1)
torch.manual_seed(1)
policy = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 2))
optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
env = CartPoles(ENVS)

for episode in range(1, 31):
    log_probs, mask = play(env, policy)
    R = returns(mask)
    seen = R[mask.bool()]
    advantage = (R - seen.mean()) / (seen.std() + 1e-8)
    loss = -(log_probs * advantage * mask).sum() / mask.sum()

    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if episode % 3 == 0:
        print(f"Episode {episode}\tAverage length: {mask.sum(0).mean().item():.2f}\tloss {loss.item():+.5f}")

print(digest(policy))
