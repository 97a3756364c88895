/**
 * Network namespaces for members: each has an address and a wire of its own to a bridge, so a cut loses packets as a real one does, and
 * no end of a connection is heard. Needs a user namespace, which not every machine allows.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const PORT = 9_000

/** How a program is started that may make network namespaces. */
const UNSHARE = ['--map-root-user', '--net', '--mount', '--propagation', 'private'] as const
const PREPARE =
  'mount -t tmpfs none /run && ip link set lo up && ip link add bridge type bridge && ip link set bridge up'

/** @returns why there can be none here, or null. */
export function whyNoNamespaces(): string | null {
  const script = `${PREPARE} && ip netns add probe && ip link add v0 type veth peer name eth0 netns probe`
  const { status, stderr, error } = spawnSync('unshare', [...UNSHARE, 'sh', '-c', script], { encoding: 'utf8' })
  if (status === 0) return null
  return `no network namespaces here: ${error?.message ?? stderr.trim()}`
}

/** Runs this program again where namespaces can be made. @returns its exit status. */
export function runInside(program: string, args: readonly string[]): number {
  const script = `${PREPARE} && exec "$@"`
  const command = [process.execPath, fileURLToPath(program), ...args]
  const { status } = spawnSync('unshare', [...UNSHARE, 'sh', '-c', script, 'sh', ...command], { stdio: 'inherit' })
  return status ?? 1
}

export interface Wire {
  readonly name: string
  readonly host: string
  readonly port: number
  /** Runs a command in the namespace. */
  readonly prefix: readonly string[]
}

export function makeWire(number: number): Wire {
  const name = `member${number}`
  const host = `10.99.0.${10 + number}`
  ip('netns', 'add', name)
  ip('link', 'add', `wire${number}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name)
  ip('link', 'set', `wire${number}`, 'master', 'bridge', 'up')
  ip('-n', name, 'link', 'set', 'lo', 'up')
  ip('-n', name, 'link', 'set', 'eth0', 'up')
  ip('-n', name, 'address', 'add', `${host}/24`, 'dev', 'eth0')
  return { name, host, port: PORT, prefix: ['ip', 'netns', 'exec', name] }
}

/** Nothing passes in either direction, and nobody is told. */
export function pull(number: number): void {
  ip('link', 'set', `wire${number}`, 'nomaster')
}

export function plugIn(number: number): void {
  ip('link', 'set', `wire${number}`, 'master', 'bridge')
}

/** Packets from one to the other are lost on the way, not those in the other direction. */
export function losePackets(from: Wire, to: Wire): void {
  ip('-n', from.name, 'route', 'add', 'blackhole', `${to.host}/32`)
}

export function passPackets(from: Wire, to: Wire): void {
  ip('-n', from.name, 'route', 'del', 'blackhole', `${to.host}/32`)
}

function ip(...args: readonly string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] })
}
