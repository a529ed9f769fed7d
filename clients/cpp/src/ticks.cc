#include "ticks.h"

#include <iostream>
#include <stdexcept>
#include <thread>

#include "market.h"
#include "predict.h"
#include "refusal.h"

using tickserve::v1::StreamTicksRequest;
using tickserve::v1::StreamTicksResponse;

namespace {

// A first window needs 120 bars: with as many less one of history, each tick leads to a prediction.
constexpr int kHistoryBars = 119;
constexpr int kTickBars = 5;

using Stream = grpc::ClientReaderWriterInterface<StreamTicksRequest, StreamTicksResponse>;

// Fills the window, sends one bar that is refused and some that are answered, and closes its side. A write fails when
// the stream has ended; the reader is told why.
void SendBars(Stream& stream, const std::string& symbol, const tickserve::v1::StreamOpened& opened,
              std::chrono::nanoseconds timeout) {
  const auto interval = opened.bar_interval().seconds();
  auto sequence = opened.symbols(0).next_sequence();
  const auto tick = [&](int number, double low) {
    StreamTicksRequest request;
    request.mutable_tick()->set_symbol(symbol);
    request.mutable_tick()->set_sequence(sequence);
    *request.mutable_tick()->mutable_valid_duration() = ToDuration(timeout);  // what a prediction is of use for
    *request.mutable_tick()->mutable_bar() = MakeBar(number, interval);
    if (low != 0) request.mutable_tick()->mutable_bar()->set_low_price(low);
    return stream.Write(request);
  };

  if (sequence > 1) {  // the service holds a window of an earlier session, whose bars are not ours
    StreamTicksRequest request;
    request.mutable_tick()->set_symbol(symbol);
    request.mutable_tick()->set_sequence(sequence++);
    request.mutable_tick()->mutable_reset()->set_reason("the example starts over");
    stream.Write(request);
  }
  StreamTicksRequest history;
  history.mutable_history()->set_symbol(symbol);
  for (int number = 0; number < kHistoryBars; ++number) {
    *history.mutable_history()->add_bars() = MakeBar(number, interval);
  }
  stream.Write(history);
  tick(kHistoryBars, -1);  // refused; its number is not used up, and the stream goes on
  for (int number = kHistoryBars; number < kHistoryBars + kTickBars; ++number, ++sequence) {
    if (!tick(number, 0)) return;
  }
  stream.WritesDone();
}

void Print(const StreamTicksResponse& response) {
  if (response.has_prediction()) {
    const auto& answer = response.prediction();
    std::cout << "tick symbol=" << answer.symbol() << " sequence=" << answer.sequence() << " "
              << Show(answer.prediction()) << std::endl;
  } else if (response.has_error()) {
    const auto name = "tick_error sequence=" + std::to_string(response.error().sequence());
    std::cout << Refusal::Of(response.error().error()).Show(name) << std::endl;
  } else if (response.has_gap()) {
    std::cout << "gap first=" << response.gap().first_missing_sequence()
              << " last=" << response.gap().last_missing_sequence() << std::endl;
  } else if (response.has_drain()) {  // a program that goes on would open its session anew elsewhere
    std::cout << "drain" << std::endl;
  }
}

}  // namespace

void StreamTicks(const Connection& connection, const std::string& symbol) {
  const auto service = tickserve::v1::PredictionService::NewStub(connection.channel());
  // A session has no deadline of its own; this one is short, and must not outlast the program's patience.
  const auto context = connection.NewContext((kTickBars + 1) * connection.timeout());
  const auto stream = service->StreamTicks(context.get());

  StreamTicksRequest open;
  open.mutable_open()->add_symbols(symbol);
  open.mutable_open()->set_priority(tickserve::v1::PRIORITY_REAL_TIME);
  StreamTicksResponse response;
  if (!stream->Write(open) || !stream->Read(&response)) {
    Check(stream->Finish());
    throw std::runtime_error("the session ended before it began");
  }
  if (!response.has_opened()) {
    context->TryCancel();
    stream->Finish();
    throw RpcError(Refusal::Of(response.error().error()));
  }
  const auto opened = response.opened();
  const auto& state = opened.symbols(0);
  std::cout << "opened symbol=" << state.symbol() << " next_sequence=" << state.next_sequence()
            << " have=" << state.have() << " need=" << state.need() << std::endl;

  // Reads and writes go on side by side: a session that only writes is held by flow control sooner or later.
  std::thread writer([&] { SendBars(*stream, symbol, opened, connection.timeout()); });
  while (stream->Read(&response)) Print(response);
  writer.join();
  Check(stream->Finish());
}
