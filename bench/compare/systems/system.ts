/** What is compared: servers of one kind, three that keep the data, started on empty disks in a directory of their own. */
import type { Needed } from '../build.ts'

export type Protocol = 'rocketmq' | 'nats' | 'etcd'

export interface System {
  /** As `--systems` has it. */
  readonly name: string
  readonly version: string
  readonly protocol: Protocol
  readonly needs: readonly Needed[]
  /** How long it runs under a load before anything is measured: just-in-time compilers need it. */
  readonly warmupSeconds: number
  build(): Promise<void>
  /** Starts its servers, without waiting for them. */
  start(): Promise<Servers>
}

export interface Servers {
  /** Where clients begin. */
  readonly address: string
  /** When the first of them was started, of `performance.now()`. */
  readonly startedMs: number
  /** All processes. */
  readonly pids: readonly number[]
  /** Those that keep the data. */
  readonly keeperPids: readonly number[]
  /** The one that clients reach at this port. */
  pidAt(port: number): number
  /** @throws Error with the last output of a server that ended by itself. */
  checkAlive(): void
  /** Stops them and removes what they stored. */
  stop(): Promise<void>
}
