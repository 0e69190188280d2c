"""REINFORCE on a grid where the goal has to be reached; episodes are run side by side."""

from program import MARK, Fault, Template

SOURCE = """\
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.distributions import Categorical

np.random.seed(1)
torch.manual_seed(1)
SIZE, HORIZON, GAMMA = 5, 10, 0.95
MOVES = torch.tensor([[0, 1], [0, -1], [1, 0], [-1, 0]])


class GridWorld:
    def __init__(self, n):
        self.n = n

    def reset(self):
        self.agent = torch.randint(0, SIZE, (self.n, 2))
        self.goal = torch.randint(0, SIZE, (self.n, 2))
        self.alive = torch.ones(self.n)
        return self.observation()

    def observation(self):
        return torch.cat([self.agent, self.goal], dim=1).float() / 2.0 - 1.0

    def step(self, action):
        self.agent = (self.agent + MOVES[action]).clamp(0, SIZE - 1)
        there = (self.agent == self.goal).all(dim=1).float()
        reward = self.alive * (there - 0.05)
        self.alive = self.alive * (1 - there)
        return self.observation(), reward, self.alive.clone()


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(4, 64)
        self.affine2 = nn.Linear(64, 64)
        self.action_head = nn.Linear(64, 4)

    def forward(self, x):
        x = torch.tanh(self.affine1(x))
        x = torch.tanh(self.affine2(x))
        return F.softmax(self.action_head(x), dim=-1)


env = GridWorld(64)
policy = Policy()
optimizer = torch.optim.Adam(policy.parameters(), lr=4e-3)
history = []

for update in range(400):
    state = env.reset()
    alive = torch.ones(64)
    log_probs, rewards, masks = [], [], []
    for _ in range(HORIZON):
        probs = policy(state)
        m = Categorical(probs)
        action = m.sample()
        log_probs.append(m.log_prob(action))
        masks.append(alive)
        state, reward, alive = env.step(action)
        rewards.append(reward)
    returns, g = [], torch.zeros(64)
    for r in reversed(rewards):
        g = r + GAMMA * g
        returns.insert(0, g)
    returns, mask = torch.stack(returns), torch.stack(masks)
    baseline = (returns * mask).sum() / mask.sum()
    advantage = (returns - baseline) / (returns.std() + 1e-8)
    policy_loss = -(torch.stack(log_probs) * advantage * mask).sum() / mask.sum()
    optimizer.zero_grad()
    policy_loss.backward()
    optimizer.step()
    history.append(torch.stack(rewards).sum(0).mean().item())
    if (update + 1) % 40 == 0:
        print(f"update {update + 1} loss {policy_loss.item():.4f} avg return {np.mean(history[-40:]):.3f}")
"""

ADAM = "torch.optim.Adam(policy.parameters(), lr=4e-3)"
LOSS = "    policy_loss = -(torch.stack(log_probs) * advantage * mask).sum() / mask.sum()\n"
CLEAR = "    optimizer.zero_grad()\n"
STEP = "    optimizer.step()\n"

VARIANTS = (
    ("seed2", (("torch.manual_seed(1)", "torch.manual_seed(2)"),)),
    (
        "rmsprop-relu",
        (
            (ADAM, "torch.optim.RMSprop(policy.parameters(), lr=2e-3)"),
            ("x = torch.tanh(self.affine1(x))", "x = F.relu(self.affine1(x))"),
            ("x = torch.tanh(self.affine2(x))", "x = F.relu(self.affine2(x))"),
        ),
    ),
    ("entropy-bonus", ((LOSS, LOSS + "    policy_loss = policy_loss - 0.003 * m.entropy().mean()\n"),)),
    (
        "logits",
        (
            (
                "        return F.softmax(self.action_head(x), dim=-1)\n",
                "        return self.action_head(x)\n",
            ),
            ("Categorical(probs)", "Categorical(logits=probs)"),
        ),
    ),
)

FAULTS = (
    Fault(
        "loss-sign-flipped",
        (
            (
                LOSS,
                f"    policy_loss = (torch.stack(log_probs) * advantage * mask).sum() / mask.sum(){MARK}\n",
            ),
        ),
        note="the return is minimized",
    ),
    Fault(
        "optimizer-never-steps",
        ((STEP, ""), ("    policy_loss.backward()\n", f"    policy_loss.backward(){MARK}\n")),
    ),
    Fault(
        "loss-detached",
        (
            (
                "        log_probs.append(m.log_prob(action))\n",
                f"        log_probs.append(m.log_prob(action).detach().requires_grad_()){MARK}\n",
            ),
        ),
        accept=("gradient-path-cut", "optimizer-never-steps", "gradients-cleared-before-step"),
        note="log-probabilities detached",
    ),
    Fault(
        "softmax-wrong-dimension",
        (
            (
                "        return F.softmax(self.action_head(x), dim=-1)\n",
                f"        return F.softmax(self.action_head(x), dim=0){MARK}\n",
            ),
        ),
        accept=("samples-mixed",),
        note="over the environments",
    ),
    Fault(
        "learning-rate-too-high",
        ((ADAM, f"torch.optim.Adam(policy.parameters(), lr=0.5){MARK}"),),
        accept=("saturated-activations", "loss-plateau"),
    ),
    Fault(
        "gradients-not-cleared",
        (
            (CLEAR, ""),
            ("    policy_loss.backward()\n", f"    policy_loss.backward(){MARK}\n"),
            (STEP, f"    optimizer.step(){MARK}\n"),
        ),
    ),
    Fault(
        "learning-rate-too-low",
        ((ADAM, f"torch.optim.SGD(policy.parameters(), lr=1e-5){MARK}"),),
        accept=("slow-convergence", "loss-plateau"),
    ),
)

TEMPLATES = (Template("policy-gradient", SOURCE, FAULTS, VARIANTS),)
