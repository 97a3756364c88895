/**
 * What every client must do: send in each of its ways, consume by tag in a group of two consumers, and live through the
 * death of the leader in one process. Before and after the failover each message goes to exactly one of the two; during it
 * none that was acknowledged may be lost, and only what was consumed shortly before may come again.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createTopic } from '../processes/group/admin.ts'
import { DeliveryLedger } from '../processes/group/delivery-ledger.ts'
import type { FastTry } from '../processes/group/fast-try.ts'
import { untilTrue } from '../processes/group/until.ts'
import { ClientProgram, type Event } from './client-program.ts'
import type { Client } from './clients.ts'
import type { Report } from './report.ts'
import type { TestGroup } from './test-group.ts'

const QUEUE_COUNT = 4
const CONSUMERS = ['c1', 'c2'] as const
const WANTED_TAGS = ['TagA', 'TagB']
const MESSAGE_COUNT = 60
/** Three messages, one with each tag, for each queue. */
const PROBE_COUNT = 3 * QUEUE_COUNT
const DELIVERY_TIMEOUT_MS = 90_000
/** Acknowledgements wanted before the leader is killed, and again from its successor, of each flow. */
const FLOW_COUNT = 100
/**
 * The clients persist offsets every second (Go: every five); the group appends them within 200 ms. What was consumed longer
 * than this before the kill must not come again.
 */
const OFFSET_LAG_MS = 7_000

export async function runGroupSuite(
  client: Client,
  group: TestGroup,
  report: Report,
  workDirectory: string,
): Promise<void> {
  const suite = new GroupSuite(client, group, report)
  try {
    await suite.run(workDirectory)
  } catch (failure) {
    report.check('the suite runs to its end', false, describe(failure))
  } finally {
    await suite.close()
  }
}

function describe(failure: unknown): string {
  if (!(failure instanceof Error)) return String(failure)
  return failure.cause === undefined ? failure.message : `${failure.message} <- ${describe(failure.cause)}`
}

class GroupSuite {
  readonly #client: Client
  readonly #group: TestGroup
  readonly #report: Report
  readonly #ledger = new DeliveryLedger(WANTED_TAGS)
  readonly #failures = new Map<string, number>()
  /** Scenarios that were in their middle when the leader was killed. */
  readonly #middles: string[] = []
  #program: ClientProgram | undefined
  #probeCount = 0

  constructor(client: Client, group: TestGroup, report: Report) {
    this.#client = client
    this.#group = group
    this.#report = report
  }

  async run(workDirectory: string): Promise<void> {
    const { failover, namesrv } = this.#group
    const name = `${this.#client.name.replaceAll('.', '_')}_${randomBytes(3).toString('hex')}`
    const topic = `T_${name}`
    const home = join(workDirectory, name)
    mkdirSync(home, { recursive: true })
    await createTopic(namesrv, topic, QUEUE_COUNT, this.#group.sockets)
    const launch = this.#client.launch(namesrv, topic, `G_${name}`, home)
    const logFile = join(home, 'client.log')
    const program = await ClientProgram.start(launch, logFile, (event) => this.#handle(event))
    this.#program = program
    for (const consumer of CONSUMERS) await program.command('consume', consumer)

    await this.#phase(program, 'before')
    if (failover !== null) {
      await this.#failover(program, failover)
      await this.#phase(program, 'after')
      if (this.#client.scenarios === 'through') await this.#through(program, failover)
    }
    for (const consumer of CONSUMERS) await program.command('stop', consumer)
    await program.command('exit')
    this.#judge(failover !== null)
  }

  async close(): Promise<void> {
    await this.#program?.kill()
  }

  async #phase(program: ClientProgram, phase: 'before' | 'after'): Promise<void> {
    await this.#shareQueues(program)
    for (const mode of this.#client.modes) {
      const series = `${mode}-${phase}`
      await program.command('send', mode, series, MESSAGE_COUNT)
      await this.#delivered(series)
    }
    const { scenarios } = this.#client
    if (scenarios === 'after' || (scenarios === 'through' && phase === 'before')) {
      await program.command('scenarios', phase)
    }
  }

  /** Sends a few messages again and again until the two consumers get them from disjoint sets of queues that are all. */
  async #shareQueues(program: ClientProgram): Promise<void> {
    const deadline = performance.now() + DELIVERY_TIMEOUT_MS
    for (;;) {
      const series = `probe${this.#probeCount++}`
      await program.command('send', 'sync', series, PROBE_COUNT)
      await this.#delivered(series)
      const shares = this.#shares(series)
      if (shares.every((share) => share.size === QUEUE_COUNT / CONSUMERS.length)) {
        if (new Set(shares.flatMap((share) => [...share])).size === QUEUE_COUNT) return
      }
      if (performance.now() > deadline) {
        const shown = shares.map((share) => [...share].join(' ')).join(' / ')
        throw new Error(`after ${DELIVERY_TIMEOUT_MS} ms the two consumers have the queues ${shown}`)
      }
    }
  }

  /** The queues that each consumer got messages of this series from. */
  #shares(series: string): Set<number>[] {
    const deliveries = this.#ledger.deliveriesOf(series)
    return CONSUMERS.map(
      (name) => new Set(deliveries.filter(({ consumer }) => consumer === name).map(({ queueId }) => queueId)),
    )
  }

  async #failover(program: ClientProgram, servers: FastTry): Promise<void> {
    const flows = this.#client.flows.map((mode) => ({ mode, series: `${mode}-through` }))
    for (const { mode, series } of flows) await program.command('flow', mode, series)
    const grown = async (by: number) => {
      const targets = flows.map(({ series }) => [series, this.#ledger.acknowledgedCount(series) + by] as const)
      await untilTrue(`${by} more messages of each flow are acknowledged`, DELIVERY_TIMEOUT_MS, () =>
        targets.every(([series, target]) => this.#ledger.acknowledgedCount(series) >= target),
      )
    }
    await grown(FLOW_COUNT)
    const killed = await servers.killLeader()
    const killedAtMs = performance.now()
    const leader = await servers.leader(killed)
    const electedAfterMs = performance.now() - killedAtMs
    await grown(1)
    const acknowledgedAfterMs = performance.now() - killedAtMs
    await grown(FLOW_COUNT)
    await servers.expect(['restart', killed])
    await program.command('endflow')
    await servers.caughtUp()
    for (const { series } of flows) await this.#delivered(series)
    const failed = flows.map(({ series }) => this.#failures.get(series) ?? 0).reduce((sum, each) => sum + each, 0)
    this.#report.check(
      'failover',
      true,
      `${killed} killed, ${leader} leads after ${electedAfterMs.toFixed(0)} ms, ` +
        `next acknowledgement after ${acknowledgedAfterMs.toFixed(0)} ms, ${failed} sends failed in between`,
    )
    for (const { mode, series } of flows) {
      const old = this.#ledger.redeliveredAfterBeingConsumedBefore(series, killedAtMs - OFFSET_LAG_MS)
      const reasons = old.map((text) => `came again though consumed long before the failover: ${text}`)
      this.#report.deliveries(`${mode} through the failover`, this.#ledger.judge(series), reasons)
    }
  }

  /** Kills the leader in the middle of all scenarios at once. They go on while there is none; the one that was killed comes back to them. */
  async #through(program: ClientProgram, servers: FastTry): Promise<void> {
    await program.command('scenarios', 'through')
    const killed = await servers.killLeader()
    const ended = program.command('goon')
    const whole = async () => {
      const leader = await servers.leader(killed)
      await servers.expect(['restart', killed])
      await servers.caughtUp()
      return leader
    }
    const [leader] = await Promise.all([whole(), ended])
    const detail = `${killed} killed in the middle of ${this.#middles.length} scenarios, ${leader} leads`
    this.#report.check('failover in the middle of scenarios', true, detail)
  }

  async #delivered(series: string): Promise<void> {
    try {
      await untilTrue(
        `all of ${series} is consumed`,
        DELIVERY_TIMEOUT_MS,
        () => this.#ledger.missing(series).length === 0,
      )
    } catch (failure) {
      const missing = this.#ledger.missing(series)
      throw new Error(`${missing.length} of ${series} not consumed: ${missing.slice(0, 5).join(', ')}`, {
        cause: failure,
      })
    }
  }

  /** Once the consumers are gone, so that a late redelivery counts, too. */
  #judge(failedOver: boolean): void {
    for (const phase of failedOver ? ['before', 'after'] : ['before']) {
      for (const mode of this.#client.modes) {
        const verdict = this.#ledger.judge(`${mode}-${phase}`)
        const consumers = new Set(this.#ledger.deliveriesOf(`${mode}-${phase}`).map(({ consumer }) => consumer))
        const reasons: string[] = []
        if (verdict.redelivered > 0) reasons.push(`${verdict.redelivered} came to more than one consumer, or twice`)
        if (consumers.size !== CONSUMERS.length) reasons.push(`only ${[...consumers].join()} of the two took part`)
        const failed = this.#failures.get(`${mode}-${phase}`) ?? 0
        if (failed > 0) reasons.push(`${failed} sends failed`)
        this.#report.deliveries(`${mode} ${phase} failover`, verdict, reasons)
      }
    }
  }

  #handle(event: Event): void {
    switch (event.event) {
      case 'acked':
        this.#ledger.acknowledged(event)
        break
      case 'failed': {
        this.#ledger.failed(event)
        const series = event.key.slice(0, event.key.lastIndexOf('-'))
        this.#failures.set(series, (this.#failures.get(series) ?? 0) + 1)
        break
      }
      case 'oneway':
        this.#ledger.oneway(event)
        break
      case 'consumed':
        this.#ledger.consumed({ ...event, atMs: performance.now() })
        break
      case 'middle':
        this.#middles.push(event.name)
        break
      case 'check':
        this.#report.check(event.name, event.ok, event.detail)
        break
      case 'ready':
      case 'done':
      case 'error':
        throw new Error('answers to commands stay in the client program')
      default:
        event satisfies never
    }
  }
}
