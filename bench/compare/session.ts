/** One system, once: started on empty disks, warmed up, measured under each workload, stopped. Nothing else is up meanwhile. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { between, fineMicros, privateMiB, read } from './counters.ts'
import { type LoadClient } from './loads/clients.ts'
import { LoadProgram, type Measured, type Settings } from './loads/load-program.ts'
import type { Figures } from './measurements.ts'
import type { Servers, System } from './systems/system.ts'
import type { Workload } from './workloads.ts'

export interface Durations {
  /** How long each load is measured. */
  readonly seconds: number
  /** How long each load runs before. */
  readonly warmupSeconds: number
  /** The longest warm-up of a system. */
  readonly systemWarmupSeconds: number
}

/** What came of one workload with one client, or without any. */
export interface Told {
  readonly workload: Workload
  readonly client: string | null
  readonly figures: Figures
  readonly failure?: string
}

type Outcome = Omit<Told, 'workload' | 'client'>

/** What a system does after a load, before it is called idle. */
const SETTLE_MS = 5_000
/** Times `seconds`: little is used, so it takes longer to be seen. */
const IDLE_FACTOR = 3
/** Four virtual machines that start on a busy machine take minutes. */
const START_WITHIN_SECONDS = 300
const TOPIC_WITHIN_SECONDS = 60
const WARMUP: Settings = { how: 'async', senders: 256, size: 1024, batch: 1, seconds: 1 }

/** What comes next would not do better. */
class NotStarted extends Error {}

/** The programs that make loads, each started when it is needed first and used by all sessions: clients stay warm. */
export class LoadPrograms {
  readonly #home: string
  readonly #running = new Map<string, LoadProgram>()

  constructor(home: string) {
    this.#home = home
  }

  async of(client: LoadClient): Promise<LoadProgram> {
    const name = `${client.protocol}-${client.name}`
    const running = this.#running.get(name)
    if (running !== undefined && !running.isOver) return running
    const home = join(this.#home, name)
    mkdirSync(home, { recursive: true })
    const program = await LoadProgram.start(client.launch(home), join(home, 'stderr'))
    this.#running.set(name, program)
    return program
  }
}

export class Session {
  readonly #system: System
  readonly #clients: readonly LoadClient[]
  readonly #programs: LoadPrograms
  readonly #durations: Durations
  readonly #tell: (told: Told) => void
  #servers: Servers | null = null
  #topics = 0

  /** @param clients those that know this system; the first one finds out when it is up. */
  constructor(
    system: System,
    clients: readonly LoadClient[],
    programs: LoadPrograms,
    durations: Durations,
    tell: (told: Told) => void,
  ) {
    this.#system = system
    this.#clients = clients
    this.#programs = programs
    this.#durations = durations
    this.#tell = tell
  }

  /** A workload that fails is told and the next one goes on. @throws Error when the system does not start. */
  async run(workloads: readonly Workload[]): Promise<void> {
    try {
      for (const workload of workloads) {
        if (!workload.protocols.includes(this.#system.protocol)) continue
        const clients = this.#clients.filter(({ name }) => workload.clients.includes(name))
        if (workload.kind === 'machine') continue
        if (workload.kind === 'start') await this.#freshServers(workload)
        else if (workload.kind === 'watch') await this.#attempt(workload, null, () => this.#watch(workload))
        for (const client of clients) {
          await this.#attempt(workload, client.name, () =>
            workload.kind === 'failover' ? this.#failover(workload, client) : this.#load(workload, client),
          )
        }
      }
    } finally {
      await this.#stop()
    }
  }

  async #attempt(workload: Workload, client: string | null, measure: () => Promise<Outcome>) {
    try {
      this.#tell({ workload, client, ...(await measure()) })
    } catch (failure) {
      if (failure instanceof NotStarted) throw failure
      this.#tell({ workload, client, figures: {}, failure: (failure as Error).message })
      // Whatever is wrong with it, the next workload finds another one.
      await this.#stop()
    }
  }

  async #stop(): Promise<void> {
    const servers = this.#servers
    this.#servers = null
    await servers?.stop()
  }

  /** The servers that run, or new ones. */
  async #up(): Promise<Servers> {
    return this.#servers ?? this.#freshServers(null)
  }

  async #freshServers(cold: Workload | null): Promise<Servers> {
    await this.#stop()
    const [client] = this.#clients
    if (client === undefined) throw new Error(`no client for ${this.#system.name}`)
    const program = await this.#programs.of(client)
    const servers = await this.#system.start()
    this.#servers = servers
    try {
      await program.run('first', { ...this.#target(servers), within: START_WITHIN_SECONDS }, [])
      servers.checkAlive()
    } catch (failure) {
      throw new NotStarted((failure as Error).message, { cause: failure })
    }
    const firstAckMs = performance.now() - servers.startedMs
    if (cold !== null) this.#tell({ workload: cold, client: null, figures: { firstAckMs } })
    const warmup = Math.min(this.#system.warmupSeconds, this.#durations.systemWarmupSeconds)
    await program.run('send', { ...this.#target(servers), ...WARMUP, warmup }, [])
    return servers
  }

  /** A topic of its own for each workload. */
  #target({ address }: Servers): Settings {
    return { namesrv: address, topic: `Compare${++this.#topics}` }
  }

  async #load(workload: Workload, client: LoadClient): Promise<Outcome> {
    const servers = await this.#up()
    const program = await this.#programs.of(client)
    const target = this.#target(servers)
    await program.run('first', { ...target, within: TOPIC_WITHIN_SECONDS }, [])
    const { seconds, warmupSeconds } = this.#durations
    const settings = { ...target, warmup: warmupSeconds, seconds, ...workload.settings }
    const measured = await program.run(workload.command, settings, servers.pids)
    servers.checkAlive()
    return figuresOf(measured, Number(workload.settings['size']))
  }

  async #watch(workload: Workload): Promise<Outcome> {
    const servers = await this.#up()
    if (workload.name === 'memory') {
      const each = servers.keeperPids.map(privateMiB)
      return { figures: { privateMiB: each.reduce((sum, one) => sum + one, 0) / each.length } }
    }
    await pause(SETTLE_MS)
    const before = read(servers.pids, null)
    const microsBefore = fineMicros(servers.pids)
    await pause(this.#durations.seconds * IDLE_FACTOR * 1_000)
    const micros = fineMicros(servers.pids) - microsBefore
    const { seconds, otherCores } = between(before, read(servers.pids, null))
    return { figures: { idlePercent: micros / seconds / 10_000, otherCores } }
  }

  async #failover(workload: Workload, client: LoadClient): Promise<Outcome> {
    const servers = await this.#up()
    const program = await this.#programs.of(client)
    const target = this.#target(servers)
    const { answer } = await program.run('first', { ...target, within: TOPIC_WITHIN_SECONDS }, [])
    if (answer.port === undefined) throw new Error('the client does not say who leads')
    const { warmupSeconds } = this.#durations
    const settings = { ...target, warmup: warmupSeconds, ...workload.settings, kill: servers.pidAt(answer.port) }
    const {
      answer: { gapMs, failed },
    } = await program.run(workload.command, settings, [])
    // A member is missing: what comes next needs a whole group.
    await this.#stop()
    return { figures: { ...(gapMs === undefined ? {} : { gapMs }), ...(failed === undefined ? {} : { failed }) } }
  }
}

function figuresOf({ answer, used }: Measured, bytes: number): Outcome {
  const { messages, seconds, failed, failure, p50Ms, p99Ms, p999Ms } = answer
  const figures: Figures = {}
  if (messages !== undefined && seconds !== undefined) {
    figures.messagesPerSecond = messages / seconds
    figures.megabytesPerSecond = (messages * bytes) / seconds / 1e6
    if (used !== null && messages > 0) {
      figures.serverMicros = used.serverMicros / messages
      figures.clientMicros = used.clientMicros / messages
    }
  }
  if (used !== null) figures.otherCores = used.otherCores
  if (failed !== undefined) figures.failed = failed
  if (p50Ms !== undefined) figures.p50Ms = p50Ms
  if (p99Ms !== undefined) figures.p99Ms = p99Ms
  if (p999Ms !== undefined) figures.p999Ms = p999Ms
  if (messages === 0) throw new Error(`nothing was acknowledged; ${failure ?? ''}`)
  return failed === undefined || failed === 0 ? { figures } : { figures, failure: `${failed} failed: ${failure ?? ''}` }
}
