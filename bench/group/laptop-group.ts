/** A three-node group of real processes for a benchmark, driven by `scripts/fast-try.sh` on ports of its own. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePorts } from '@dledger-ts/dledger/internals'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))

export interface Ports {
  readonly namesrv: number
  readonly broker: readonly number[]
  readonly raft: readonly number[]
  readonly metrics: readonly number[]
}

const BENCH_PORTS: Ports = {
  namesrv: 18876,
  broker: [31911, 31921, 31931],
  raft: [41911, 41912, 41913],
  metrics: [15557, 15558, 15559],
}

/** Ports that nobody uses now, so that measurements of several checkouts do not meet. */
export async function unusedPorts(): Promise<Ports> {
  const [namesrv = 0, ...rest] = await freePorts(10)
  return { namesrv, broker: rest.slice(0, 3), raft: rest.slice(3, 6), metrics: rest.slice(6, 9) }
}

export interface GroupStatus {
  readonly leader: string | null
  readonly term: number | null
  readonly brokers: readonly { readonly id: string; readonly pid: number | null; readonly role: string | null }[]
}

export class LaptopGroup {
  readonly directory: string
  readonly ports: Ports
  readonly #environment: NodeJS.ProcessEnv

  /** @param environment of the servers, beside this process's own. */
  constructor(directory: string, ports: Ports = BENCH_PORTS, environment: NodeJS.ProcessEnv = {}) {
    this.directory = directory
    this.ports = ports
    this.#environment = {
      ...process.env,
      ...environment,
      FAST_TRY_DIR: directory,
      FAST_TRY_NAMESRV_PORT: String(ports.namesrv),
      FAST_TRY_BROKER_PORTS: ports.broker.join(','),
      FAST_TRY_RAFT_PORTS: ports.raft.join(','),
      FAST_TRY_METRICS_PORTS: ports.metrics.join(','),
    }
  }

  get namesrvAddress(): string {
    return `127.0.0.1:${this.ports.namesrv}`
  }

  /** @returns what the command printed. */
  run(...args: string[]): string {
    return execFileSync(join(ROOT, 'scripts', 'fast-try.sh'), args, {
      env: this.#environment,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    })
  }

  status(): GroupStatus {
    return JSON.parse(this.run('status', '--json')) as GroupStatus
  }

  pids(): number[] {
    return this.status().brokers.flatMap((broker) => broker.pid ?? [])
  }

  /** Asks a broker for its role directly, without the cost of a new process. */
  async roleOf(index: number): Promise<string | null> {
    try {
      const answer = await fetch(`http://127.0.0.1:${this.ports.metrics[index]}/status`, {
        signal: AbortSignal.timeout(1_000),
      })
      return ((await answer.json()) as { role: string | null }).role
    } catch {
      // Down or starting.
      return null
    }
  }
}

/** CPU time that a process has used, in microseconds, from /proc; 0 when it is gone. */
export function cpuMicros(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    // Fields 14 and 15, utime and stime, in ticks of 10 ms.
    return (Number(fields[11]) + Number(fields[12])) * 10_000
  } catch {
    return 0
  }
}

export function rssMiB(pid: number): number {
  try {
    const line = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
    return line === null ? 0 : Math.round(Number(line[1]) / 1024)
  } catch {
    return 0
  }
}
