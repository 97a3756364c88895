/**
 * What this broker counts for its operators, under Apache's names: messages by topic as they become visible here, by group and topic as they
 * are given out here, what consumers send back, and how many there were up to the last midnights.
 *
 * Every member counts what becomes visible, so a new leader goes on where the old one was; what is given out counts where it was given out.
 * In memory: a restart begins anew.
 *
 * Source: BrokerStatsManager, BrokerStats, StoreStatsService.
 */
import type { Clock } from '@dledger-ts/base'
import type { BrokerStatsData, StatsItem } from '@dledger-ts/remoting'
import { type Column, Counter, CounterTable, Notebook, type WindowCount, type WindowName } from './counters.ts'
import { SampledTimes } from './sampled-times.ts'

export interface DayTotals {
  readonly yesterdayMorning: number
  readonly todayMorning: number
  readonly now: number
}

/** A figure over the last 10 seconds, minute and 10 minutes, each second. */
export type Rates = readonly [number, number, number]
const TURN_MS = 60_000
const RATE_WINDOWS = ['tenSeconds', 'minute', 'tenMinutes'] as const

export class BrokerStatistics {
  readonly #clock: Clock
  readonly #clusterName: string
  readonly #notebook: Notebook
  readonly #topicPuts = new CounterTable()
  readonly #groupGets = new CounterTable()
  readonly #sendBacks = new CounterTable()
  readonly #puts = new Counter()
  readonly #gets = new Counter()
  readonly #misses = new Counter()
  readonly #refusedPuts = new Counter()
  #day: string
  #putMornings = { yesterday: 0, today: 0 }
  #getMornings = { yesterday: 0, today: 0 }
  readonly startedMs: number
  /** From a send's arrival to its answer. */
  readonly putTimes: SampledTimes
  /** Of reading what a pull wants. */
  readonly getTimes: SampledTimes
  #turnMs: number

  constructor(clock: Clock, clusterName: string) {
    this.#clock = clock
    this.#clusterName = clusterName
    this.#notebook = new Notebook(clock.monotonicMs())
    this.startedMs = clock.nowMs()
    this.putTimes = new SampledTimes(clock)
    this.getTimes = new SampledTimes(clock)
    this.#turnMs = clock.monotonicMs()
    this.#day = dayOf(this.startedMs)
  }

  // Hot: runs for each message that becomes visible.
  arrived(topic: string, recordBytes: number): void {
    this.#puts.add(1, recordBytes)
    this.#topicPuts.add(topic, 1, recordBytes)
  }

  // Hot: runs for each answer with messages.
  gaveOut(group: string, topic: string, messages: number, bytes: number): void {
    this.#gets.add(messages, bytes)
    this.#groupGets.add(groupKey(topic, group), messages, bytes)
  }

  // Hot: runs for each answer without messages.
  foundNothing(): void {
    this.#misses.add(0, 0)
  }

  refusedPut(): void {
    this.#refusedPuts.add(1, 0)
  }

  sentBack(group: string, topic: string): void {
    this.#sendBacks.add(groupKey(topic, group), 1, 0)
  }

  /** To be called every ten seconds. */
  tick(): void {
    const nowMs = this.#clock.monotonicMs()
    const isDayNote = this.#notebook.note(nowMs, () => this.#all())
    if (isDayNote) for (const table of this.#tables()) table.removeIdle(this.#notebook)
    if (nowMs - this.#turnMs >= TURN_MS) {
      this.#turnMs = nowMs
      this.putTimes.turn()
      this.getTimes.turn()
    }
    const day = dayOf(this.#clock.nowMs())
    if (day === this.#day) return
    this.#day = day
    this.#putMornings = { yesterday: this.#putMornings.today, today: this.#puts.nums }
    this.#getMornings = { yesterday: this.#getMornings.today, today: this.#gets.nums }
  }

  /** @returns undefined where nothing was counted under this name and key. */
  view(statsName: string, statsKey: string): BrokerStatsData | undefined {
    const found = this.#find(statsName, statsKey)
    if (found === undefined) return undefined
    const [counter, column] = found
    const item = (window: WindowName): StatsItem => {
      const { sum, perSecond, perTime } = this.#count(counter, column, window)
      return { sum, tps: perSecond, avgpt: perTime }
    }
    return { statsMinute: item('minute'), statsHour: item('hour'), statsDay: item('day') }
  }

  topicPutTps(topic: string): number {
    return this.#tps(this.#topicPuts.find(topic))
  }

  groupGetTps(group: string, topic: string): number {
    return this.#tps(this.#groupGets.find(groupKey(topic, group)))
  }

  get putTotals(): { readonly messages: number; readonly bytes: number; readonly refused: number } {
    return { messages: this.#puts.nums, bytes: this.#puts.size, refused: this.#refusedPuts.nums }
  }

  get putsByDay(): DayTotals {
    const { yesterday, today } = this.#putMornings
    return { yesterdayMorning: yesterday, todayMorning: today, now: this.#puts.nums }
  }

  get getsByDay(): DayTotals {
    const { yesterday, today } = this.#getMornings
    return { yesterdayMorning: yesterday, todayMorning: today, now: this.#gets.nums }
  }

  get putRates(): Rates {
    return this.#rates(this.#puts, 'nums')
  }

  /** Answers with messages. */
  get foundRates(): Rates {
    return this.#rates(this.#gets, 'times')
  }

  /** Answers without messages. */
  get missRates(): Rates {
    return this.#rates(this.#misses, 'times')
  }

  /** Messages given out. */
  get transferredRates(): Rates {
    return this.#rates(this.#gets, 'nums')
  }

  #find(statsName: string, statsKey: string): readonly [Counter, Column] | undefined {
    const of = (counter: Counter | undefined, column: Column): readonly [Counter, Column] | undefined =>
      counter === undefined ? undefined : [counter, column]
    const isCluster = statsKey === this.#clusterName
    switch (statsName) {
      case 'TOPIC_PUT_NUMS':
        return of(this.#topicPuts.find(statsKey), 'nums')
      case 'TOPIC_PUT_SIZE':
        return of(this.#topicPuts.find(statsKey), 'size')
      case 'GROUP_GET_NUMS':
        return of(this.#groupGets.find(statsKey), 'nums')
      case 'GROUP_GET_SIZE':
        return of(this.#groupGets.find(statsKey), 'size')
      case 'SNDBCK_PUT_NUMS':
        return of(this.#sendBacks.find(statsKey), 'nums')
      case 'BROKER_PUT_NUMS':
        return of(isCluster ? this.#puts : undefined, 'nums')
      case 'BROKER_GET_NUMS':
        return of(isCluster ? this.#gets : undefined, 'nums')
      default:
        return undefined
    }
  }

  #tps(counter: Counter | undefined): number {
    return counter === undefined ? 0 : this.#count(counter, 'nums', 'minute').perSecond
  }

  #rates(counter: Counter, column: Column): Rates {
    const [ten, minute, tenMinutes] = RATE_WINDOWS
    const rate = (window: WindowName): number => this.#count(counter, column, window).perSecond
    return [rate(ten), rate(minute), rate(tenMinutes)]
  }

  #count(counter: Counter, column: Column, window: WindowName): WindowCount {
    return this.#notebook.count(counter, column, window, this.#clock.monotonicMs())
  }

  #tables(): readonly CounterTable[] {
    return [this.#topicPuts, this.#groupGets, this.#sendBacks]
  }

  *#all(): Iterable<Counter> {
    yield this.#puts
    yield this.#gets
    yield this.#misses
    yield this.#refusedPuts
    for (const table of this.#tables()) yield* table.all()
  }
}

/** How Apache's brokers and tools name a group's part of a topic. */
function groupKey(topic: string, group: string): string {
  return `${topic}@${group}`
}

/** The day of the operator's clock. */
function dayOf(nowMs: number): string {
  return new Date(nowMs).toDateString()
}
