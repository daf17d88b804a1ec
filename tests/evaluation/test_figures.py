"""Figures share one time axis."""

from vqspeech.evaluation import figures


def test_spectrograms_stand_under_one_another_on_one_time_axis(speech):
    figure = figures.spectrograms({"source": speech(0.5), "converted": speech(0.5, seed=1)}, 16000)
    titles = [axes.get_title(loc="left") for axes in figure.axes[:2]]
    assert titles == ["source", "converted"]
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim() == (0, 0.5)
