/**
 * A load made with our own client: a program that takes workloads as lines and answers them, as load-program.ts says. It
 * ends with its input.
 */
import { createHistogram } from 'node:perf_hooks'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { type Message, Producer } from '@dledger-ts/client'
import { load, type Mode } from '../../group/load.ts'
import type { Answer } from './load-program.ts'

const FIRST_AGAIN_MS = 10
const FIRST_TIMEOUT_MS = 1_000
const LONGEST_MICROS = 120_000_000
const LOOK_EVERY_MS = 20
const AFTER_FAILURE_MS = 2

class Wish {
  readonly workload: string
  readonly #settings: ReadonlyMap<string, string>

  constructor(line: string) {
    const [workload = '', ...words] = line.split(' ')
    this.workload = workload
    this.#settings = new Map(words.map((word) => word.split('=', 2) as [string, string]))
  }

  text(name: string): string {
    const value = this.#settings.get(name)
    if (value === undefined) throw new Error(`${this.workload} needs ${name}`)
    return value
  }

  number(name: string): number {
    return Number(this.text(name))
  }

  message(): Message {
    return { topic: this.text('topic'), body: Buffer.alloc(this.number('size'), 'x') }
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

async function withProducer(wish: Wish, work: (producer: Producer) => Promise<Answer>): Promise<Answer> {
  const producer = new Producer({ group: 'compare_producer', namesrvAddress: wish.text('namesrv'), newTopicQueues: 8 })
  producer.start()
  try {
    return await work(producer)
  } finally {
    await producer.close()
  }
}

function first(wish: Wish): Promise<Answer> {
  const deadline = performance.now() + wish.number('within') * 1_000
  return withProducer(wish, async (producer) => {
    for (;;) {
      try {
        const message = { topic: wish.text('topic'), body: Buffer.alloc(16, 'x') }
        const { offsetMsgId } = await producer.send(message, { timeoutMs: FIRST_TIMEOUT_MS })
        // The id of an IPv4 broker: address, port, offset, in hex.
        return { port: Number.parseInt(offsetMsgId.slice(8, 16), 16) }
      } catch (failure) {
        if (performance.now() > deadline) throw failure
        await pause(FIRST_AGAIN_MS)
      }
    }
  })
}

function modeOf(wish: Wish): Mode {
  if (wish.number('batch') > 1) return 'batch'
  return wish.text('how') === 'async' ? 'async' : 'sync'
}

function send(wish: Wish): Promise<Answer> {
  return withProducer(wish, async (producer) => {
    const mode = modeOf(wish)
    const concurrency = wish.number('senders')
    const message = wish.message()
    const histogram = createHistogram({ lowest: 1, highest: LONGEST_MICROS, figures: 3 })
    const counts = { sent: 0, failed: 0 }
    let counting = false
    let over = false
    const record = (ms: number): void => {
      if (counting) histogram.record(Math.min(LONGEST_MICROS, Math.max(1, Math.round(ms * 1_000))))
    }
    const done = load({ producer, mode, concurrency, message, counts, record, isOver: () => over })
    await pause(wish.number('warmup') * 1_000)
    counting = true
    const begun = performance.now()
    const before = { ...counts }
    say('begin')
    await pause(wish.number('seconds') * 1_000)
    counting = false
    const seconds = (performance.now() - begun) / 1_000
    const messages = counts.sent - before.sent
    const failed = counts.failed - before.failed
    say('end')
    over = true
    await done
    const at = (percentile: number): number => histogram.percentile(percentile) / 1_000
    return { messages, seconds, failed, p50Ms: at(50), p99Ms: at(99), p999Ms: at(99.9) }
  })
}

/** Senders go on while the leader is killed: the longest time without an acknowledgement, counted from the kill on. */
function failover(wish: Wish): Promise<Answer> {
  return withProducer(wish, async (producer) => {
    const message = wish.message()
    const counts = { messages: 0, failed: 0 }
    let over = false
    let lastMs = Number.NaN
    let longestMs = 0
    let resumedMs = Number.NaN
    const sender = async (): Promise<void> => {
      while (!over) {
        try {
          await producer.send(message)
        } catch {
          counts.failed++
          await pause(AFTER_FAILURE_MS)
          continue
        }
        counts.messages++
        const nowMs = performance.now()
        // Before the kill there is no last one.
        if (nowMs - lastMs > longestMs) {
          longestMs = nowMs - lastMs
          resumedMs = nowMs
        }
        if (!Number.isNaN(lastMs)) lastMs = nowMs
        await pause(1)
      }
    }
    const senders = Array.from({ length: wish.number('senders') }, sender)
    await pause(wish.number('warmup') * 1_000)
    lastMs = performance.now()
    const deadlineMs = lastMs + wish.number('within') * 1_000
    const afterMs = wish.number('after') * 1_000
    process.kill(wish.number('kill'), 'SIGKILL')
    // Ends when senders have gone on for a while without another long pause.
    for (;;) {
      await pause(LOOK_EVERY_MS)
      const nowMs = performance.now()
      const goesOn = nowMs - lastMs < afterMs / 2
      if (goesOn && nowMs - resumedMs > afterMs) break
      if (!goesOn && nowMs > deadlineMs) {
        over = true
        throw new Error('no acknowledgement after the kill')
      }
    }
    over = true
    await Promise.all(senders)
    return { ...counts, gapMs: longestMs }
  })
}

const WORKLOADS: Readonly<Record<string, (wish: Wish) => Promise<Answer>>> = { first, send, failover }

say('ready')
for await (const line of createInterface({ input: process.stdin })) {
  const wish = new Wish(line)
  try {
    const workload = WORKLOADS[wish.workload]
    if (workload === undefined) throw new Error(`our client has no workload ${wish.workload}`)
    say(`done ${JSON.stringify(await workload(wish))}`)
  } catch (failure) {
    say(`error ${String(failure).replaceAll(/\s+/g, ' ')}`)
  }
}
