/** Stores of one member on real files, closed when a test is over. */
import type { NewMessage, PutBatchListener, PutResult } from '../api.ts'
import { MessageStore } from '../message-store.ts'
import type { MessageStoreOptions } from '../options.ts'
import { recordBody } from '@dledger-ts/protocol'
import { get, TempDirectory } from './fixture.ts'
import { ManualClock, passing, until } from './manual-clock.ts'

export class OpenedStores {
  readonly temp = new TempDirectory()
  readonly #opened: { readonly store: MessageStore; readonly clock: ManualClock | null }[] = []

  async open(more: Partial<MessageStoreOptions> = {}): Promise<MessageStore> {
    const store = await MessageStore.open({
      dir: this.temp.path,
      fileBytes: 1024 * 1024,
      consumeQueueFileBytes: 200,
      onFatal: (error) => {
        throw error
      },
      ...more,
    })
    const clock = more.clock instanceof ManualClock ? more.clock : null
    this.#opened.push({ store, clock })
    // The entry that binds the member's identity comes with a tick: tests count entries from there.
    if (clock !== null) {
      clock.advance(50)
      await until(
        () => store.status().appliedIndex === store.status().lastIndex && store.status().lastIndex > 0,
        'it is bound',
      )
    }
    return store
  }

  async close(): Promise<void> {
    for (const { store, clock } of this.#opened.splice(0)) {
      await (clock === null ? store.close() : passing(clock, store.close()))
    }
    this.temp.remove()
  }
}

export function putBatch(store: MessageStore, messages: readonly NewMessage[]): Promise<readonly PutResult[]> {
  return new Promise((stored, putFailed) => {
    const listener: PutBatchListener = { stored, putFailed }
    store.putBatch(messages, listener)
  })
}

export async function bodies(store: MessageStore, topic: string, queueId = 0): Promise<string[]> {
  const found: string[] = []
  for (let at = 0; at < store.maxOffset(topic, queueId);) {
    const { records, nextBeginOffset } = await get(store, { topic, queueId, queueOffset: at })
    for (const record of records) found.push(recordBody(record).toString())
    at = nextBeginOffset
  }
  return found
}
