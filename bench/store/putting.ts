/** Puts so many messages, so many in flight, and tells how each tenth of them went. */
import type { MessageStore, PutListener, StoreError } from '@dledger-ts/store'
import type { CountedDisk } from './counted-disk.ts'
import type { Messages } from './messages.ts'
import type { Observer } from './observer.ts'
import type { PutPart, PutResult } from './wishes.ts'

const PARTS = 10

export interface PutWish {
  readonly store: MessageStore
  readonly messages: Messages
  readonly count: number
  readonly inFlight: number
  readonly observer: Observer
  readonly disk: CountedDisk
}

export async function put(wish: PutWish): Promise<PutResult> {
  const { count, observer, disk } = wish
  const parts: PutPart[] = []
  const cpu = process.cpuUsage()
  const begun = performance.now()
  observer.observe()
  const partCount = Math.min(PARTS, count)
  for (let part = 0; part < partCount; part++) {
    const from = Math.floor((count * part) / partCount)
    const to = Math.floor((count * (part + 1)) / partCount)
    const partBegun = performance.now()
    const load = new Load(wish, from, to)
    await load.run()
    const seconds = (performance.now() - partBegun) / 1_000
    const perSecond = Math.round((to - from) / seconds)
    parts.push({ messages: to, perSecond, failed: load.failed, observed: observer.observe() })
  }
  const used = process.cpuUsage(cpu)
  return {
    parts,
    perSecond: Math.round(count / ((performance.now() - begun) / 1_000)),
    cpuMicros: Number(((used.user + used.system) / count).toFixed(1)),
    disk: disk.counts,
  }
}

class Load implements PutListener {
  readonly #wish: PutWish
  readonly #to: number
  failed = 0
  #next: number
  #underWay = 0
  #done: () => void = () => {}
  #fail: (error: Error) => void = () => {}

  constructor(wish: PutWish, from: number, to: number) {
    this.#wish = wish
    this.#next = from
    this.#to = to
  }

  run(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#done = resolve
      this.#fail = reject
      for (let i = 0; i < this.#wish.inFlight; i++) this.#one()
    })
  }

  stored(): void {
    this.#underWay--
    if (this.#next < this.#to) this.#one()
    else if (this.#underWay === 0) this.#done()
  }

  /** A put whose time ran out counts as failed, and the load goes on: that this happens is a finding. */
  putFailed(error: StoreError): void {
    if (error.code !== 'TIMEOUT') return this.#fail(error)
    this.failed++
    this.stored()
  }

  #one(): void {
    if (this.#next >= this.#to) return
    this.#underWay++
    this.#wish.store.put(this.#wish.messages.make(this.#next++), this)
  }
}
