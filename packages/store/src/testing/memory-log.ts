/**
 * A log in memory for one core at a time: it gives places in order, commits when told, and refuses or loses what it is told to.
 */
import { type CommittedEntry, DLedgerError, type Proposal } from '@dledger-ts/dledger'
import type { AttachedLog } from '../log-port.ts'
import type { StoreCore } from '../store-core.ts'
import { entryBytes } from './entry-bytes.ts'

export class MemoryLog implements AttachedLog {
  readonly entries: CommittedEntry[] = []
  /** As a trim would have it. */
  forgetBefore = 0
  /** Nothing can be read before this byte. */
  startPos = 0
  /** Whether the n-th proposal since this log was made is refused. */
  refuses: (n: number) => boolean = () => false
  #core: StoreCore | null = null
  #term = 0
  #proposed = 0
  #pos = 0
  #waiting: { entry: CommittedEntry; proposal: Proposal | null }[] = []

  readonly #attached = new WeakSet<StoreCore>()
  readonly #fileBytes: number | null

  /** @param fileBytes of a log file, where entries do not cross its end; null: each entry is in a file of its own. */
  constructor(fileBytes: number | null = null) {
    this.#fileBytes = fileBytes
  }

  /** Makes a loaded core the leader of a new term; what another one had under way is in the log or not, as it was committed. */
  lead(core: StoreCore): void {
    this.#core = core
    this.#waiting = []
    this.#term++
    const known = this.entries.slice(core.machine.appliedIndex + 1)
    if (known.length > 0) core.machine.apply(known)
    if (!this.#attached.has(core)) core.attach(this, null)
    this.#attached.add(core)
    core.machine.roleChanged({ role: 'LEADER', term: this.#term, leader: 'n0', ready: true })
  }

  /** The next proposal is refused. */
  refuseNext(): void {
    const next = this.#proposed
    this.refuses = (n) => n === next
  }

  get waiting(): number {
    return this.#waiting.length
  }

  propose(proposal: Proposal): void {
    const n = this.#proposed++
    if (this.refuses(n)) {
      setImmediate(() => proposal.failed(new DLedgerError('refused', { code: 'BUSY', uncommittedBytes: 0 })))
      return
    }
    // As the driver: places are given at the end of the pass, so a refusal is told after the others have theirs.
    const term = this.#term
    setImmediate(() => {
      if (this.#core === null || this.#term !== term) {
        proposal.failed(new DLedgerError('the leadership was lost', { code: 'NOT_LEADER', leader: null }))
        return
      }
      const body = Buffer.alloc(proposal.bodyBytes)
      const index = this.entries.length + this.#waiting.length
      const left = this.#fileBytes === null ? Number.POSITIVE_INFINITY : this.#fileBytes - (this.#pos % this.#fileBytes)
      // A file ends with a blank of at least 8 bytes.
      if (48 + body.length + 8 > left) this.#pos += left
      const entry: CommittedEntry = { index, term: this.#term, pos: this.#pos, kind: 'data', body }
      this.#pos += 48 + body.length
      proposal.encodeBody(body, 0, entry)
      this.#waiting.push({ entry, proposal })
    })
  }

  /** Commits the oldest `count` entries and applies them. */
  commit(count = this.#waiting.length): void {
    const done = this.#waiting.splice(0, count)
    if (done.length === 0) return
    this.entries.push(...done.map(({ entry }) => entry))
    this.#core?.machine.apply(done.map(({ entry }) => entry))
    for (const { entry, proposal } of done) proposal?.committed(entry)
  }

  /** What waits was not committed in time: it is told so and stays in the log. */
  expire(): void {
    for (const waiting of this.#waiting) {
      const { proposal } = waiting
      waiting.proposal = null
      proposal?.failed(new DLedgerError('not in time', { code: 'TIMEOUT' }))
    }
  }

  /** The leadership is lost: `kept` of the entries under way survive, nobody learns which. */
  lose(kept: number): void {
    const core = this.#core
    const abandoned = this.#waiting
    this.#waiting = []
    this.#core = null
    for (const { proposal } of abandoned) proposal?.failed(new DLedgerError('lost', { code: 'TIMEOUT' }))
    core?.machine.roleChanged({ role: 'FOLLOWER', term: this.#term, leader: null, ready: false })
    const survivors = abandoned.slice(0, kept).map(({ entry }) => entry)
    this.entries.push(...survivors)
    this.#pos = abandoned[survivors.length]?.entry.pos ?? this.#pos
  }

  get firstIndex(): number {
    return this.entries[0]?.index ?? 0
  }

  get lastIndex(): number {
    return this.firstIndex + this.entries.length - 1
  }

  /** Entries that cannot be read. */
  readonly lost = new Set<number>()

  readApplied(
    firstIndex: number,
    lastIndex: number,
    bytesMax: number,
    callback: (error: Error | null, entries: readonly CommittedEntry[] | null) => void,
  ): void {
    const found: CommittedEntry[] = []
    let bytes = 0
    for (const entry of this.entries.slice(firstIndex - this.firstIndex, lastIndex - this.firstIndex + 1)) {
      bytes += 48 + entry.body.length
      if (this.lost.has(entry.index) || (found.length > 0 && (bytes > bytesMax || entry.term !== found[0]?.term))) break
      found.push(entry)
    }
    setImmediate(() => {
      if (found.length > 0) return callback(null, found)
      const what = `entries ${firstIndex} to ${firstIndex} are damaged and wait for repair`
      callback(new DLedgerError(what, { code: 'CORRUPT', file: 'data', at: 0 }), null)
    })
  }

  readAppliedAt(pos: number, callback: (error: Error | null, entry: CommittedEntry | null) => void): void {
    const found = this.entries.find((entry) => entry.pos === pos) ?? null
    setImmediate(() => callback(null, found))
  }

  firstIndexInFileOf(pos: number): number | null {
    if (this.#fileBytes !== null) {
      const start = pos - (pos % this.#fileBytes)
      return this.entries.find((entry) => entry.pos === start)?.index ?? null
    }
    return this.entries.find((entry) => entry.pos <= pos && pos < entry.pos + 48 + entry.body.length)?.index ?? null
  }

  readBytes(
    pos: number,
    size: number,
    callback: (error: Error | null, bytes: Buffer | null) => void,
    target = Buffer.allocUnsafe(size),
  ): void {
    if (pos < this.startPos) {
      setImmediate(() => callback(new DLedgerError('trimmed', { code: 'TRIMMED', firstIndex: this.firstIndex }), null))
      return
    }
    let found = 0
    for (const entry of this.entries) {
      const start = Math.max(pos, entry.pos)
      const end = Math.min(pos + size, entry.pos + 48 + entry.body.length)
      if (start >= end) continue
      found += entryBytes(entry).copy(target, start - pos, start - entry.pos, end - entry.pos)
    }
    setImmediate(() => {
      if (found === size) callback(null, target)
      else callback(new Error(`nothing at ${pos}`), null)
    })
  }
}
