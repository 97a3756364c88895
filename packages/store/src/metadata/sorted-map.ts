/**
 * A map in memory that can be read in the order of its keys, as rows that are not in the database yet are.
 *
 * Keys stand in sorted blocks, the blocks in order: finding, adding and removing cost two binary searches and a move within
 * one block.
 *
 * Keeps: keys ascend within a block and from block to block; no block is empty or larger than BLOCK_KEYS_MAX.
 */
import { assert } from '@dledger-ts/base'

const BLOCK_KEYS_MAX = 512

interface Block<Value> {
  keys: string[]
  values: Value[]
}

export class SortedMap<Value> {
  #blocks: Block<Value>[] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  get(key: string): Value | undefined {
    const block = this.#blocks[this.#blockOf(key)]
    if (block === undefined) return undefined
    const at = lowerBound(block.keys, key)
    return block.keys[at] === key ? block.values[at] : undefined
  }

  set(key: string, value: Value): void {
    const blockAt = Math.max(0, this.#blockOf(key))
    const block = this.#blocks[blockAt]
    if (block === undefined) {
      this.#blocks.push({ keys: [key], values: [value] })
      this.#size++
      return
    }
    const at = lowerBound(block.keys, key)
    if (block.keys[at] === key) {
      block.values[at] = value
      return
    }
    block.keys.splice(at, 0, key)
    block.values.splice(at, 0, value)
    this.#size++
    if (block.keys.length > BLOCK_KEYS_MAX) this.#split(blockAt, block, at)
  }

  delete(key: string): void {
    const blockAt = this.#blockOf(key)
    const block = this.#blocks[blockAt]
    if (block === undefined) return
    const at = lowerBound(block.keys, key)
    if (block.keys[at] !== key) return
    block.keys.splice(at, 1)
    block.values.splice(at, 1)
    this.#size--
    if (block.keys.length === 0) this.#blocks.splice(blockAt, 1)
  }

  /** Keys from `from` on, in order. The map must not change before the iteration ends. */
  *from(from: string): Iterable<readonly [key: string, value: Value]> {
    for (let blockAt = Math.max(0, this.#blockOf(from)); blockAt < this.#blocks.length; blockAt++) {
      const { keys, values } = this.#blocks[blockAt] as Block<Value>
      for (let at = lowerBound(keys, from); at < keys.length; at++) yield [keys[at] as string, values[at] as Value]
    }
  }

  clear(): void {
    this.#blocks = []
    this.#size = 0
  }

  checkInvariants(): void {
    let previous: string | null = null
    let count = 0
    for (const { keys, values } of this.#blocks) {
      assert(keys.length > 0 && keys.length <= BLOCK_KEYS_MAX, 'a block holds some keys and not too many')
      assert(keys.length === values.length, 'each key has a value')
      for (const key of keys) {
        assert(previous === null || previous < key, 'keys ascend')
        previous = key
      }
      count += keys.length
    }
    assert(count === this.#size, 'the size is the number of keys')
  }

  /** @returns the last block whose first key is not after `key`, -1 when there is none. */
  #blockOf(key: string): number {
    let low = 0
    let high = this.#blocks.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (((this.#blocks[middle] as Block<Value>).keys[0] as string) <= key) low = middle + 1
      else high = middle
    }
    return low - 1
  }

  /** Keys often come in ascending order: then the new block takes only the newest, and full ones stay full. */
  #split(blockAt: number, block: Block<Value>, insertedAt: number): void {
    const to = insertedAt === block.keys.length - 1 ? insertedAt : block.keys.length >> 1
    this.#blocks.splice(blockAt + 1, 0, { keys: block.keys.splice(to), values: block.values.splice(to) })
  }
}

/** @returns the first place whose key is not before `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((keys[middle] as string) < key) low = middle + 1
    else high = middle
  }
  return low
}
