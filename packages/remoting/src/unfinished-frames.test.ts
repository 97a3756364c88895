/** What is kept of frames that have not come whole: beyond the bound the one that is unfinished for the longest goes. */
import { expect, test } from 'vitest'
import { UnfinishedFrames } from './unfinished-frames.ts'

test('the oldest frame is closed until what is kept is within the bound; who has begun another one is not the oldest', () => {
  const closed: string[] = []
  const sender = (name: string) => ({ closeUnfinished: () => void closed.push(name) })
  const [slow, quick, third] = [sender('slow'), sender('quick'), sender('third')]
  const frames = new UnfinishedFrames(100)
  frames.keeps(quick, 0, 40)
  frames.keeps(slow, 0, 30)
  frames.keeps(quick, 1, 50)
  frames.keeps(slow, 0, 45)
  expect([frames.bytes, closed]).toEqual([95, []])
  frames.keeps(third, 0, 10)
  expect([frames.bytes, closed]).toEqual([60, ['slow']])
  frames.done(quick)
  frames.done(quick)
  expect(frames.bytes).toBe(10)
  frames.keeps(third, 0, 101)
  expect([frames.bytes, closed]).toEqual([0, ['slow', 'third']])
})
