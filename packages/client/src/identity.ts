/** Who this client is to brokers: its address, its process, and an instance that tells it from others of the process. */
import { networkInterfaces } from 'node:os'
import { type Clock, type Random } from '@dledger-ts/base'
import { UniqKeyGenerator } from '@dledger-ts/protocol'

const LOOPBACK = '127.0.0.1'

/** @returns the first IPv4 address of this machine that others could reach, else the loopback address. */
export function localIp(): string {
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { family, internal, address } of addresses ?? []) if (family === 'IPv4' && !internal) return address
  }
  return LOOPBACK
}

/** @returns `ip@instance`; two clients of one group must never share it, or they take each other's queues. */
export function clientId(options: { ip: string; instanceName: string | null; clock: Clock; random: Random }): string {
  const { ip, instanceName, clock, random } = options
  return `${ip}@${instanceName ?? `${process.pid}#${clock.nowMs()}${random.below(1_000_000)}`}`
}

export function uniqKeyGenerator(options: { ip: string; clock: Clock; random: Random }): UniqKeyGenerator {
  const { ip, clock, random } = options
  const address = Buffer.from(ip.split('.').map(Number))
  return new UniqKeyGenerator({ address, pid: process.pid, instance: random.below(0x1_0000_0000), clock })
}
