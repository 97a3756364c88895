/** What `scripts/fast-try.sh` runs and where: from its environment, with the defaults that are documented in the README. */
import { join } from 'node:path'
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
  const directory = environment['FAST_TRY_DIR'] || join(root, '.fast-try')
  const ports = portsOf(environment, 'FAST_TRY_BROKER_PORTS', '30911,30921,30931')
  const raftPorts = portsOf(environment, 'FAST_TRY_RAFT_PORTS', '40911,40912,40913')
  const metricsPorts = portsOf(environment, 'FAST_TRY_METRICS_PORTS', '5557,5558,5559')
  return {
    root,
    directory,
    namesrvPort: port(environment, 'FAST_TRY_NAMESRV_PORT', '9876'),
    // The documented port of a namesrv, unless this is not the only group on the machine.
    namesrvMetricsPort: environment['FAST_TRY_METRICS_PORTS'] === undefined ? 5556 : 0,
    brokers: [0, 1, 2].map((i) => ({
      id: `n${i}`,
      port: ports[i] as number,
      raftPort: raftPorts[i] as number,
      metricsPort: metricsPorts[i] as number,
      directory: join(directory, `n${i}`),
      storePath: join(directory, `n${i}`, 'store'),
    })),
    extraConf: environment['FAST_TRY_CONF'] || null,
    tlsFile: environment['FAST_TRY_TLS_FILE'] || null,
  }
}

function portsOf(environment: NodeJS.ProcessEnv, name: string, fallback: string): number[] {
  const text = environment[name] || fallback
  const ports = text.split(',').map(Number)
  if (ports.length !== 3 || !ports.every(isPort)) {
    throw new Error(`${name}=${text}: allowed are three ports from 1 to 65535, separated by commas`)
  }
  return ports
}

function port(environment: NodeJS.ProcessEnv, name: string, fallback: string): number {
  const text = environment[name] || fallback
  if (!isPort(Number(text))) throw new Error(`${name}=${text}: allowed is a port from 1 to 65535`)
  return Number(text)
}

function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 65535
}

export function namesrvAddress(settings: Settings): string {
  return `${HOST}:${settings.namesrvPort}`
}
