/** Ports of its own for each group, below those that the kernel gives to clients. */
import { createServer } from 'node:net'

const LOWEST = 20_000
const HIGHEST = 31_000
/** A broker of Apache's listens below and above the port that it is given, too. */
const AROUND = [-2, -1, 0, 1]
const SPACING = 10

let next = LOWEST + SPACING * (process.pid % Math.floor((HIGHEST - LOWEST) / SPACING))

/** @returns ports that nobody listens at now, nor at their neighbours. */
export async function somePorts(count: number): Promise<number[]> {
  const found: number[] = []
  while (found.length < count) {
    const port = next
    next = next + SPACING > HIGHEST ? LOWEST + SPACING : next + SPACING
    const free = await Promise.all(AROUND.map((offset) => isFree(port + offset)))
    if (free.every(Boolean)) found.push(port)
  }
  return found
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
