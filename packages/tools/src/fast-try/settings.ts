/** What `scripts/fast-try.sh` runs and where: from its environment, with the defaults that are documented in the README. */
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

export const BROKER_NAME = 'RaftNode00'
export const CLUSTER = 'RaftCluster'
export const HOST = '127.0.0.1'

export interface BrokerSettings {
  readonly id: string
  readonly port: number
  readonly raftPort: number
  readonly metricsPort: number
  /** Configuration, pid file and output; the store is in `store` below it. */
  readonly directory: string
  readonly storePath: string
}

export interface Settings {
  readonly root: string
  readonly directory: string
  readonly namesrvPort: number
  readonly namesrvMetricsPort: number
  readonly brokers: readonly BrokerSettings[]
  /** A file of `key=value` lines added to every broker's configuration. */
  readonly extraConf: string | null
  /** A file with the keys of TLS, for all servers. */
  readonly tlsFile: string | null
}

/** @throws Error that names the variable, its value and what is allowed. */
export function settingsFrom(environment: NodeJS.ProcessEnv): Settings {
  const root = fileURLToPath(new URL('../../../..', import.meta.url)).replace(/\/$/, '')
  // Absolute: a server is found again by it, from wherever the next call comes.
  const directory = resolve(environment['FAST_TRY_DIR'] || join(root, '.fast-try'))
  const ports = portsOf(environment, 'FAST_TRY_BROKER_PORTS', '30911,30921,30931')
  const raftPorts = portsOf(environment, 'FAST_TRY_RAFT_PORTS', '40911,40912,40913')
  const metricsPorts = portsOf(environment, 'FAST_TRY_METRICS_PORTS', '5557,5558,5559')
  const namesrvPort = portOf(environment, 'FAST_TRY_NAMESRV_PORT', '9876')
  refuseSharedPorts([
    ['FAST_TRY_NAMESRV_PORT', [namesrvPort]],
    ['FAST_TRY_BROKER_PORTS', ports.flatMap((port) => [port, port - 2])],
    ['FAST_TRY_RAFT_PORTS', raftPorts],
    ['FAST_TRY_METRICS_PORTS', metricsPorts],
  ])
  return {
    root,
    directory,
    namesrvPort,
    // The documented port of a namesrv, unless this is not the only group on the machine.
    namesrvMetricsPort: environment['FAST_TRY_METRICS_PORTS'] ? 0 : 5556,
    brokers: [0, 1, 2].map((i) => ({
      id: `n${i}`,
      port: ports[i] as number,
      raftPort: raftPorts[i] as number,
      metricsPort: metricsPorts[i] as number,
      directory: join(directory, `n${i}`),
      storePath: join(directory, `n${i}`, 'store'),
    })),
    extraConf: fileOf(environment, 'FAST_TRY_CONF'),
    tlsFile: fileOf(environment, 'FAST_TRY_TLS_FILE'),
  }
}

function portsOf(environment: NodeJS.ProcessEnv, name: string, fallback: string): number[] {
  const text = environment[name] || fallback
  const ports = text.split(',').map((part) => part.trim())
  if (ports.length !== 3 || !ports.every(isPort)) {
    throw new Error(`${name}=${text}: allowed are three ports from 1 to 65535, separated by commas`)
  }
  return ports.map(Number)
}

function portOf(environment: NodeJS.ProcessEnv, name: string, fallback: string): number {
  const text = environment[name] || fallback
  if (!isPort(text)) throw new Error(`${name}=${text}: allowed is a port from 1 to 65535`)
  return Number(text)
}

function isPort(text: string): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65535
}

/** @throws Error where two servers, or two purposes of one, would have the same port. */
function refuseSharedPorts(purposes: readonly (readonly [variable: string, ports: readonly number[]])[]): void {
  const users = new Map<number, string>()
  for (const [variable, ports] of purposes) {
    for (const port of ports) {
      const other = users.get(port)
      if (other !== undefined) {
        throw new Error(`${variable}: port ${port} is used twice, by ${other} too (a broker also has its port - 2)`)
      }
      users.set(port, variable)
    }
  }
}

function fileOf(environment: NodeJS.ProcessEnv, name: string): string | null {
  const path = environment[name]
  return path === undefined || path === '' ? null : resolve(path)
}

export function namesrvAddress(settings: Settings): string {
  return `${HOST}:${settings.namesrvPort}`
}
