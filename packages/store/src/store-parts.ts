/**
 * The parts of a store, opened in order and closed in the opposite one.
 *
 *   metadata ──► what applying yields ──► log ──► the store takes part ──► sends that may be repeated
 *
 * Keeps: what is opened here is closed here; settings and directories that are not fit are refused before anything is written.
 */
import { join } from 'node:path'
import type { Logger } from '@dledger-ts/base'
import { DLedger, DLedgerError, isDiskFull } from '@dledger-ts/dledger'
import { readApacheConfig } from './apache/config-files.ts'
import { holdsApacheTerm } from './apache/log-directory.ts'
import { readQueueEnds } from './apache/queue-ends.ts'
import { storeErrorOf } from './log-errors.ts'
import type { MetadataStore } from './metadata/metadata-store.ts'
import {
  type CheckedOptions,
  checkOptions,
  commitLogDirectory,
  logOptions,
  type MessageStoreOptions,
  openMetadata,
} from './options.ts'
import { refusePlainCommitLog } from './plain-commit-log.ts'
import { StoreCore } from './store-core.ts'

/** How long a stop or a transfer waits for coalesced offsets to be applied. */
const FLUSH_OFFSETS_TIMEOUT_MS = 1_000

export interface StoreParts {
  readonly options: CheckedOptions
  readonly core: StoreCore
  readonly log: DLedger
  readonly metadata: MetadataStore
}

export interface OpenHooks<Store> {
  /** Everything is open: makes the store, which attaches the log. */
  readonly opened: (parts: StoreParts) => Store
  /** The member has stopped for good, now or at any time later. */
  readonly failed: (error: Error) => void
}

/** @throws StoreError as `MessageStore.open` says. */
export async function openStore<Store>(given: MessageStoreOptions, hooks: OpenHooks<Store>): Promise<Store> {
  const options = checkOptions(given)
  // Opening the metadata database writes to it: what would be refused is refused before.
  const forLog = logOptions(options)
  refusePlainCommitLog(options.disk, commitLogDirectory(given))
  refuse(() => DLedger.check(forLog))
  const metadata = given.metadata ?? (await openMetadata(options, forLog.directory))
  let core: StoreCore | null = null
  // A member that fails while it opens (an entry that this program does not know) must not be waited for.
  let failOpening: (error: Error) => void = () => {}
  const failed = new Promise<never>((_, reject) => {
    failOpening = reject
  })
  const onFatal = (error: Error): void => {
    failOpening(error)
    options.onFatal(error)
    hooks.failed(error)
  }
  failed.catch(() => {})
  try {
    core = new StoreCore({ ...options, metadata, onFailed: onFatal, takesOverApache: true })
    const { machine, envelope } = core
    // Loading removes derived files that are not ours.
    const isApaches = holdsApacheTerm(options.disk, forLog.directory)
    const queueEnds = isApaches ? readQueueEnds(options.disk, options.consumeQueueDirectory) : []
    await settled((callback) => core?.load(callback))
    const isOwn = machine.appliedIndex >= 0 && machine.metadata.origin === 'own'
    if (!isOwn && machine.metadata.origin !== 'imported') {
      core.useApacheFiles(readApacheConfig(options.disk, join(given.dir, 'config')), queueEnds)
    }
    const { fullRebuild } = core
    const opensEarly = (): boolean => given.serveWhileRebuilding === true && fullRebuild.isUnderWay
    const wanted = { ...forLog, stateMachine: machine, controlEnvelope: envelope, onFatal, opensEarly }
    const log = await Promise.race([DLedger.open(wanted), failed])
    if (options.apacheFiles.opened()) options.logger.info({}, 'the store was not closed when it was open last')
    const store = hooks.opened({ options, core, log, metadata })
    await core.takeUpSends()
    return store
  } catch (error) {
    await closed(core)
    await settled((callback) => metadata.close(callback))
    throw error instanceof DLedgerError ? storeErrorOf(error) : error
  }
}

/**
 * Offsets into the log, the leadership over, the log synced, what is derived written, then everything is given free.
 *
 * @param done called before a failure is thrown.
 * @throws StoreError the first failure; all the rest is closed all the same.
 */
export async function closeStore(parts: StoreParts, done: () => void): Promise<void> {
  const { options, core, log, metadata } = parts
  core.retire()
  await flushOffsetsBriefly(parts)
  let failure: unknown = null
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      failure ??= error
    }
  }
  await attempt(() => log.close())
  core.stop()
  let isWritten = false
  if (failure === null) {
    const { appliedIndex } = core.machine
    await attempt(async () => {
      isWritten = await flushed(core, appliedIndex, options.logger)
    })
  }
  await closed(core)
  await attempt(() => settled((callback) => metadata.close(callback)))
  if (failure === null && isWritten) options.apacheFiles.closed()
  done()
  if (failure !== null) throw failure instanceof DLedgerError ? storeErrorOf(failure) : failure
}

/** What consumers committed goes into the log before the leadership goes, but nobody waits long for it. */
export async function flushOffsetsBriefly({ core, options }: StoreParts): Promise<void> {
  if (!core.isReady) return
  let cancel = (): void => {}
  const timeout = new Promise<void>((resolve) => {
    cancel = options.clock.after(FLUSH_OFFSETS_TIMEOUT_MS, resolve)
  })
  try {
    await Promise.race([settled((callback) => core.offsets.flush(callback)), timeout])
  } catch (error) {
    options.logger.warn({ err: error }, 'consumer offsets were not appended before the leadership goes')
  } finally {
    cancel()
  }
}

/** @returns false when there is no room for what is derived: the next start applies more again. */
async function flushed(core: StoreCore, appliedIndex: number, logger: Logger): Promise<boolean> {
  try {
    await settled((callback) => core.flush(appliedIndex, callback))
    return true
  } catch (error) {
    if (!(error instanceof Error && isDiskFull(error))) throw error
    logger.warn({ err: error }, 'no room for what is derived from the log: the next start applies it again')
    return false
  }
}

/** A callback as a promise. */
export function settled(begin: (callback: (error: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    begin((error) => (error === null ? resolve() : reject(error)))
  })
}

function closed(core: StoreCore | null): Promise<void> {
  return new Promise((resolve) => {
    if (core === null) resolve()
    else core.close(resolve)
  })
}

function refuse(check: () => void): void {
  try {
    check()
  } catch (error) {
    throw error instanceof DLedgerError ? storeErrorOf(error) : error
  }
}
