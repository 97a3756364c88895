/**
 * Micro-benchmarks of the hot paths, each alone in one process: `npm run bench`. Figures and machine: bench/README.md.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from '@dledger-ts/base'
import { DLedger, type FlushDiskType } from '@dledger-ts/dledger'
import { RecordDraft } from '@dledger-ts/protocol'
import {
  createRequest,
  createResponse,
  decodeCommand,
  encodeFrames,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import { Bench } from 'tinybench'

const body = Buffer.alloc(1024, 7)

const codecs = new Bench({ time: 500, warmupTime: 200, throws: true })
const host = { address: Buffer.from([127, 0, 0, 1]), port: 10911 }
const fields = {
  topic: 'BenchTopic',
  queueId: 1,
  flag: 0,
  sysFlag: 0,
  bornTimestamp: 1_700_000_000_000,
  bornHost: host,
  storeHost: host,
  reconsumeTimes: 0,
  preparedTransactionOffset: 0,
  body,
  properties: 'UNIQ_KEY\u00017F00000100002A9F0000000000000418\u0002WAIT\u0001true\u0002TAGS\u0001TagA\u0002',
}
const place = { queueOffset: 7, physicalOffset: 1048, storeTimestamp: 1_700_000_000_001 }
const target = Buffer.alloc(4096)
const send = createRequest(
  RequestCode.SEND_MESSAGE_V2,
  {
    a: 'bench',
    b: 'BenchTopic',
    c: 'TBW102',
    d: '4',
    e: '1',
    f: '0',
    g: '1700000000000',
    h: '0',
    i: fields.properties,
    j: '0',
    k: 'false',
    m: 'false',
  },
  body,
)
const frame = Buffer.concat(encodeFrames([send]))
const answer = createResponse(ResponseCode.SUCCESS, undefined, {
  msgId: '7F00000100002A9F0000000000000418',
  queueId: '1',
  queueOffset: '7',
})
codecs
  .add('crc32 of 1 KiB', () => void crc32(body))
  .add('encode a stored record, 1 KiB body', () => new RecordDraft(fields).encode(target, 0, place))
  .add('decode a send request, 1 KiB body', () => void decodeCommand(frame, 4, frame.length))
  .add('encode a send response', () => void encodeFrames([answer]))
await codecs.run()
console.table(codecs.table())

/** Appends with 256 in flight to an embedded log of one member. */
async function appendRate(flushDiskType: FlushDiskType): Promise<{ perSecond: number; cpuMicros: number }> {
  const directory = mkdtempSync(join(tmpdir(), 'bench-append-'))
  const log = await DLedger.open({ directory, flushDiskType })
  const count = 200_000
  const begun = performance.now()
  const cpu = process.cpuUsage()
  await new Promise<void>((resolve, reject) => {
    let sent = 0
    let done = 0
    const proposal = {
      bodyBytes: body.length,
      encodeBody: (buffer: Buffer, at: number) => void body.copy(buffer, at),
      committed: () => {
        done++
        if (sent < count) next()
        else if (done === count) resolve()
      },
      failed: reject,
    }
    const next = (): void => {
      sent++
      log.propose(proposal)
    }
    for (let i = 0; i < 256; i++) next()
  })
  const seconds = (performance.now() - begun) / 1000
  const used = process.cpuUsage(cpu)
  await log.close()
  rmSync(directory, { recursive: true, force: true })
  return { perSecond: Math.round(count / seconds), cpuMicros: Number(((used.user + used.system) / count).toFixed(1)) }
}
console.table({
  'embedded append, 1 KiB, 256 in flight, ASYNC_FLUSH': await appendRate('ASYNC_FLUSH'),
  'embedded append, 1 KiB, 256 in flight, SYNC_FLUSH': await appendRate('SYNC_FLUSH'),
})
