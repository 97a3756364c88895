/**
 * A planted fault: of two checkpoints only every other one is kept, while all other rows are. So a member that starts again applies
 * entries to a state that has them.
 *
 * Rows are sealed (store/src/metadata/sealed-metadata.ts), and a row that is just left out would be found by that, and everything
 * built again from the log: right, but not the fault that is wanted. So the sum of the seal is made to fit.
 */
import { crc32 } from '@dledger-ts/base'
import type { MetadataStore, MetadataWrite } from '@dledger-ts/store'
import { Packr } from 'msgpackr'

const CHECKPOINT = 'checkpoint'
const SEAL = '\x01seal'
const CRC_BYTES = 4

const packr = new Packr({ useRecords: false, variableMapSize: true })

export function staleCheckpoints(store: MetadataStore): MetadataStore {
  let batches = 0
  /** The checkpoint that is kept, and what the seal's sum lacks to be that of what is kept. */
  let kept: Buffer | null = null
  let missing = 0
  const written = (writes: readonly MetadataWrite[]): MetadataWrite[] => {
    const isKept = kept === null || batches++ % 2 === 0
    const result: MetadataWrite[] = []
    for (const write of writes) {
      const { key, value } = write
      if (key !== CHECKPOINT || value === null) {
        result.push(write)
        continue
      }
      if (isKept || kept === null) kept = value
      missing = (kept.readUInt32BE(0) - value.readUInt32BE(0)) >>> 0
      result.push({ key, value: kept })
    }
    return result.map((write) => (write.key === SEAL && write.value !== null ? reseal(write.value, missing) : write))
  }
  return {
    load: (callback) => store.load(callback),
    range: (range, callback) => store.range(range, callback),
    view: () => store.view(),
    write: (writes, options, callback) => store.write(written(writes), options, callback),
    clear: (first, callback) => {
      kept = null
      store.clear(first, callback)
    },
    close: (callback) => store.close(callback),
  }
}

function reseal(row: Buffer, missing: number): MetadataWrite {
  const [batch, count, sum] = packr.unpack(row.subarray(CRC_BYTES)) as [number, number, number]
  const content = packr.pack([batch, count, (sum + missing) >>> 0])
  const value = Buffer.concat([Buffer.alloc(CRC_BYTES), content])
  const key = Buffer.from(SEAL)
  value.writeUInt32BE(crc32(value, CRC_BYTES, value.length, crc32(key, 0, key.length)), 0)
  return { key: SEAL, value }
}
