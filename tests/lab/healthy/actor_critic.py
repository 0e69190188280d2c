"""Advantage actor-critic on a small grid: one net with two heads, two losses, one backward."""

import random

import numpy as np
import torch
import torch.nn.functional as F
from digest import digest
from torch import nn, optim


class Grid:
    """Walk from a random cell to the far corner; every move costs, slips happen."""

    size = 4
    moves = ((0, 1), (1, 0), (0, -1), (-1, 0))

    def reset(self):
        self.steps = 0
        self.row, self.col = random.randrange(self.size - 1), random.randrange(self.size)
        return self.observe()

    def observe(self):
        return self.row * self.size + self.col

    def step(self, action):
        if random.random() < 0.05:
            action = random.randrange(4)
        dr, dc = self.moves[action]
        self.row = min(max(self.row + dr, 0), self.size - 1)
        self.col = min(max(self.col + dc, 0), self.size - 1)
        self.steps += 1
        arrived = self.observe() == self.size**2 - 1
        return self.observe(), (1.0 if arrived else -0.05), arrived or self.steps >= 40


class ActorCritic(nn.Module):
    def __init__(self, cells=16, hidden=32):
        super().__init__()
        self.body = nn.Sequential(nn.Embedding(cells, hidden), nn.Linear(hidden, hidden), nn.ReLU())
        self.action_head = nn.Linear(hidden, 4)
        self.value_head = nn.Linear(hidden, 1)

    def forward(self, x):
        x = self.body(x)
        return F.softmax(self.action_head(x), dim=-1), self.value_head(x).squeeze(-1)


def finish_episode(model, optimizer, states, actions, rewards, gamma=0.95):
    targets = [0.0]
    for r in reversed(rewards):
        targets.insert(0, r + gamma * targets[0])
    targets = torch.tensor(targets[:-1])
    probs, values = model(torch.tensor(states))
    dist = torch.distributions.Categorical(probs)
    advantage = (targets - values).detach()
    actor_loss = -(dist.log_prob(torch.tensor(actions)) * advantage).mean()
    critic_loss = F.smooth_l1_loss(values, targets)
    optimizer.zero_grad()
    (actor_loss + 0.5 * critic_loss - 0.01 * dist.entropy().mean()).backward()
    optimizer.step()
    return actor_loss.item(), critic_loss.item()


def main():
    random.seed(543)
    np.random.seed(543)
    torch.manual_seed(543)
    env, model, running = Grid(), ActorCritic(), -1.5
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    for i_episode in range(1, 301):
        state, done = env.reset(), False
        states, actions, rewards = [], [], []
        while not done:
            with torch.no_grad():
                probs, _ = model(torch.tensor(state))
            action = torch.multinomial(probs, 1).item()
            states.append(state)
            actions.append(action)
            state, reward, done = env.step(action)
            rewards.append(reward)
        actor, critic = finish_episode(model, optimizer, states, actions, rewards)
        running = 0.95 * running + 0.05 * sum(rewards)
        if i_episode % 25 == 0:
            print(f"Episode {i_episode}  actor {actor:+.5f}  critic {critic:.5f}  reward {running:+.4f}")
    print(digest(model))


if __name__ == "__main__":
    main()
