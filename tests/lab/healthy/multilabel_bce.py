"""Several true-or-false questions about each digit; sigmoid outputs and BCELoss."""

import random

import numpy as np
import torch
from digest import digest
from sklearn.datasets import load_digits
from sklearn.metrics import f1_score
from torch import nn

QUESTIONS = {
    "even": {0, 2, 4, 6, 8},
    "at least five": {5, 6, 7, 8, 9},
    "has a loop": {0, 6, 8, 9},
    "prime": {2, 3, 5, 7},
    "has a straight line": {1, 4, 5, 7},
}

random.seed(21)
np.random.seed(21)
torch.manual_seed(21)

pixels, digit = load_digits(return_X_y=True)
answers = np.array([[d in members for members in QUESTIONS.values()] for d in digit], dtype=np.float32)
pixels = (pixels / 8.0 - 0.6).astype(np.float32)
shuffle = np.random.permutation(len(pixels))
pixels, answers = torch.from_numpy(pixels[shuffle]), torch.from_numpy(answers[shuffle])
split = 1400
train_set = torch.utils.data.TensorDataset(pixels[:split], answers[:split])
train_loader = torch.utils.data.DataLoader(train_set, batch_size=56, shuffle=True)


class MultiLabelNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(64, 64)
        self.drop = nn.Dropout(0.1)
        self.output = nn.Linear(64, len(QUESTIONS))

    def forward(self, x):
        x = self.drop(torch.relu(self.hidden(x)))
        return torch.sigmoid(self.output(x))


net = MultiLabelNet()
criterion = nn.BCELoss()
optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)

for epoch in range(8):
    net.train()
    running_loss = 0.0
    for inputs, targets in train_loader:
        optimizer.zero_grad()
        outputs = net(inputs)
        loss = criterion(outputs, targets)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
    net.eval()
    with torch.no_grad():
        probabilities = net(pixels[split:])
        test_loss = criterion(probabilities, answers[split:])
    print(f"Epoch {epoch + 1}, loss: {running_loss / len(train_loader):.6f}, test loss: {test_loss:.6f}")

said = (probabilities > 0.5).numpy()
for i, question in enumerate(QUESTIONS):
    print(f"{question:>20}: F1 {f1_score(answers[split:, i], said[:, i]):.5f}")
print(digest(net))
