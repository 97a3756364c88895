/** The recorded frames of `test/vectors/frames`, one by one. */
import { readFileSync } from 'node:fs'

export const FRAME_FILES = [
  'ali-ons-3.12.0',
  'broker-5.5.0',
  'go-2.1.2',
  'java-4.9.8',
  'java-4.9.8-binary',
  'java-5.5.0',
  'java-5.5.0-binary',
  'java-5.5.0-pop-admin',
] as const

export interface GoldenFrame {
  name: string
  dir: 'c2s' | 's2c'
  peer: 'namesrv' | 'broker'
  code: number
  response: boolean
  /** Of responses: what they answer. */
  requestCode?: number
  serialize: 'JSON' | 'ROCKETMQ'
  header: {
    code: number
    flag: number
    language: string
    opaque: number
    version: number
    remark?: string | null
    extFields?: Record<string, unknown> | null
  }
  bodyLength: number
  bytes: Buffer
}

export function goldenFrames(file: (typeof FRAME_FILES)[number]): GoldenFrame[] {
  const url = new URL(`../../../../test/vectors/frames/${file}.jsonl`, import.meta.url)
  const lines = readFileSync(url, 'utf8').trim().split('\n')
  return lines.map((line, i) => {
    const frame = JSON.parse(line) as GoldenFrame & { hex: string; step: string }
    const kind = frame.response ? `${frame.code} to ${frame.requestCode}` : frame.code
    return { ...frame, name: `${file} line ${i + 1}: ${kind} (${frame.step})`, bytes: Buffer.from(frame.hex, 'hex') }
  })
}

export function allGoldenFrames(): GoldenFrame[] {
  return FRAME_FILES.flatMap(goldenFrames)
}
